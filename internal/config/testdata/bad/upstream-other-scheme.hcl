proxy {
  upstream_url = "ftp://api.anthropic.com"
}
