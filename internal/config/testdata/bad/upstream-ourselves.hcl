proxy {
  upstream_url = "http://localhost:8080"
}
