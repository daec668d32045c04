proxy {
  upstream_url = "https://[::1"
}
