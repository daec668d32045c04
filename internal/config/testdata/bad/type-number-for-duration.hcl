proxy {
  idle_timeout = 6
}
