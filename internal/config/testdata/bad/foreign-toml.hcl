[proxy]
listen_addr = ":8080"
