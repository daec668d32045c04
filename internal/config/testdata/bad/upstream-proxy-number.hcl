proxy {
  upstream_proxy = 3128
}
