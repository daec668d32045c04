proxy {
  upstream_proxy = "http://user:hunter2@proxy.example.com:3128"
}
