module oauth-proxyd/internal/lab/bench

go 1.26.6
