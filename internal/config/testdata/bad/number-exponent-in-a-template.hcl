proxy {
  queue_limit = "${1e9999999*1e999999}"
}
