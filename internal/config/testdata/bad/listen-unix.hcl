proxy {
  listen_addr = "unix:/run/proxy.sock"
}
