proxy {
  upstream_proxy = "http://proxy.example.com"
}
