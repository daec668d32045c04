proxy {
  retry {
  }
}
tailscale {
}
identity {
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
