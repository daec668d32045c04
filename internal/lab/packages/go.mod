module oauth-proxyd/internal/lab/packages

go 1.26.6
