proxy {
  queue_limit = 1.5e99999999
}
