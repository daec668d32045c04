proxy {
  upstream_proxy = ["http://a:1", "http://a:2", "http://a:3", "http://a:4", "http://a:5", "http://a:6", "http://a:7", "http://a:8", "http://a:9"]
}
