proxy {
  upstream_url = “https://api.example.com”
}
access {
  allow = [“local”]
}
