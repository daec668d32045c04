proxy {
  idle_timeout = "0s"
}
