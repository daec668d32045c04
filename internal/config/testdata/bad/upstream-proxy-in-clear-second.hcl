proxy {
  upstream_url   = "http://api.example.ts.net"
  upstream_proxy = ["http://127.0.0.1:3128", "http://proxy.example.com:3128"]
}
