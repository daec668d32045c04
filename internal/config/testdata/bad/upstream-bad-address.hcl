proxy {
  upstream_url = "https://300.1.1.1"
}
