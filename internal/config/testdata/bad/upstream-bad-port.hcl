proxy {
  upstream_url = "https://api.anthropic.com:99999"
}
