proxy {
  upstream_url   = "http://127.0.0.1:9000"
  upstream_proxy = "http://proxy.example.com:3128"
}
