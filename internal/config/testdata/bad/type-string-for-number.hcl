proxy {
  max_connections = "1000"
}
