proxy {
  upstream_url = "http://100.64.0.7:9000"
  listen_addr  = "100.64.0.7:9000"
}
