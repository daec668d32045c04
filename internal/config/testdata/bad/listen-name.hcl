proxy {
  listen_addr = "myhost:8080"
}
