proxy {
  upstream_url = "http://192.168.1.10:8000"
}
