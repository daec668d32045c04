proxy {
  queue_limit     = 1e99999999
  max_connections = 0
}
lgo {
}
