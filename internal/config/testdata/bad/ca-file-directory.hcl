proxy {
  upstream_ca_file = "/"
}
