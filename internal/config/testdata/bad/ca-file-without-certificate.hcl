proxy {
  upstream_ca_file = "/etc/passwd"
}
