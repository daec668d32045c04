proxy {
  upstream_url = "https://api.anthropic.com#top"
}
