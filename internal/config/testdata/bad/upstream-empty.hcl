proxy {
  upstream_url = ""
}
