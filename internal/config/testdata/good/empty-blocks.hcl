proxy {
  retry {
  }
}
tailscale {
}
access {
}
metrics {
}
log {
}
header "x-foo" {
  value = "a"
  when {
  }
}
