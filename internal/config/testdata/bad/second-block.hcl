proxy {
  queue_limit = 1
}

proxy {
  queue_limit = 2
}
