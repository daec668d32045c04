proxy {
  upstream_url   = "https://localhost:9000"
  upstream_proxy = "http://proxy.example.com:3128"
}
