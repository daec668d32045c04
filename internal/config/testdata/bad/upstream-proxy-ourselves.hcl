proxy {
  upstream_proxy = ["http://127.0.0.1:3128", "http://localhost:8080"]
}
