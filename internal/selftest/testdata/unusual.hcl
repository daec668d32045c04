proxy {
  idle_timeout     = "10ms"
  max_request_body = "64KiB"
  max_connections  = 1
  queue_limit      = 0
}
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
}
header "accept-encoding" {
  mode = "remove"
}
header "user-agent" {
  mode = "remove"
}
header "x-forwarded-for" {
  value = "192.0.2.1"
}
header "x-team-token" {
  value = "never-shown"
}
