listen = ":9000"
