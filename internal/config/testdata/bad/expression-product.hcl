proxy {
  max_connections = 2 * 500
  queue_limit     = true ? 1 : 2
}
