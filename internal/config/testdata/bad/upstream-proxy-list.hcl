proxy {
  upstream_proxy = [
    "http://a.example.com:3128",
    "http://A.example.com:03128",
    "",
    "hunter2@b.example.com:3128",
    3128,
    "socks5://c.example.com:1080",
    "https://d.example.com:443",
  ]
}
