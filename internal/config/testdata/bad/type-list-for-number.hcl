proxy {
  queue_limit = [1]
}
