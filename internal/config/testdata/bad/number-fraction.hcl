proxy {
  queue_limit = 1.5
}
