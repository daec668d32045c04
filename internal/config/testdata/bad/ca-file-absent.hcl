proxy {
  upstream_ca_file = "/nonexistent/ca.pem"
}
