proxy {
  upstream_url = "https://"
}
