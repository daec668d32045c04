proxy {
  upstream_proxy = "socks5://proxy.example.com:1080"
}
