proxy {
  idle_timeout = 6
  drain_timeout = "0s"
}
log {
  level = "loud"
}
header "x-foo" {
}
acces {}
