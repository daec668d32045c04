proxy {
  upstream_ca_file = "ca.pem"
}
