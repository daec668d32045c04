proxy {
  upstream_url = "http://api.anthropic.com"
}
