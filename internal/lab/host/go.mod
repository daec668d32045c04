module oauth-proxyd/internal/lab/host

go 1.27.3

require (
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.50.0
	oauth-proxyd v0.0.0
	oauth-proxyd/internal/lab/labapi v0.0.0
)

replace (
	oauth-proxyd => ../../..
	oauth-proxyd/internal/lab/labapi => ../labapi
)
