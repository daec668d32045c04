proxy {
  idle_timeout = 6m
  connect_timeout = 0s
}
