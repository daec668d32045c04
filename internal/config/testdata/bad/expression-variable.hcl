proxy {
  upstream_url = "https://${var.host}"
}
