proxy {
  upstream_url = http://127.0.0.1:9101
}
