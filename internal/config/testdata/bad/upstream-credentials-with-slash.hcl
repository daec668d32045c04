proxy {
  upstream_url = "https://user:hun/ter2@api.anthropic.com"
}
