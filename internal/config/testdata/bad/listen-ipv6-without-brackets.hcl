proxy {
  listen_addr = "::1:8080"
}
