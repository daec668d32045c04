proxy {
  upstream_url = "http://0.0.0.0:9000"
}
