proxy {
  upstream_url = "https://api.anthropic.com?key=hunter2"
}
