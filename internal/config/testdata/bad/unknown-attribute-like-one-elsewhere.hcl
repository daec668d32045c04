log {
  upstream-uri = "https://api.anthropic.com"
}
