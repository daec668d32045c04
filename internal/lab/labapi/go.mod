module oauth-proxyd/internal/lab/labapi

go 1.27.3

require (
	go.uber.org/goleak v1.3.0
	oauth-proxyd v0.0.0
)

replace oauth-proxyd => ../../..
