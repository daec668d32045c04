module oauth-proxyd/internal/lab/monitoring

go 1.27.3

require (
	go.yaml.in/yaml/v3 v3.0.6
	oauth-proxyd v0.0.0
	oauth-proxyd/internal/lab/labapi v0.0.0
)

require go.uber.org/goleak v1.3.0 // indirect

replace (
	oauth-proxyd => ../../..
	oauth-proxyd/internal/lab/labapi => ../labapi
)
