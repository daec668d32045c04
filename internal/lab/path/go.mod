module oauth-proxyd/internal/lab/path

go 1.27.3

require (
	golang.org/x/net v0.62.0
	golang.org/x/sys v0.50.0
	oauth-proxyd v0.0.0
	oauth-proxyd/internal/lab/labapi v0.0.0
)

require go.uber.org/goleak v1.3.0 // indirect

replace (
	oauth-proxyd => ../../..
	oauth-proxyd/internal/lab/labapi => ../labapi
)
