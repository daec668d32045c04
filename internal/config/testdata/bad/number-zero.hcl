proxy {
  max_connections = 0
}
