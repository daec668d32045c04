proxy {
  upstream_url = "https://api_anthropic!com"
}
