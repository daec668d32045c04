proxy {
  upstream_url = "http://ai"
}
