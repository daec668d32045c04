module oauth-proxyd/internal/lab/packages

go 1.27.3
