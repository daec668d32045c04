proxy {
  upstream_url = "hunter2@api.anthropic.com"
}
