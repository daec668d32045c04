module oauth-proxyd/internal/lab/bench

go 1.26.6

require (
	go.uber.org/goleak v1.3.0
	golang.org/x/image v0.41.0
)
