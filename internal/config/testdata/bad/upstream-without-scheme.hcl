proxy {
  upstream_url = "api.anthropic.com"
}
