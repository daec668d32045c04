proxy {
  listen_addr                = "[::1]:0"
  upstream_url               = "HTTP://Gateway.Example.TS.net:8000/"
  upstream_proxy             = ["http://127.0.0.1:3128", "http://Proxy.example.ts.net:443"]
  connect_timeout            = "10ms"
  response_header_timeout    = "24h"
  idle_timeout               = "1h30m"
  max_connections            = 1000
  max_connections_per_person = 8
  queue_limit                = 0
  queue_timeout              = "1m"
  max_request_body           = "64KiB"
  drain_timeout              = "1m30s"
  handover_timeout           = "2h"
  retry {
    attempts = 1
    backoff  = "1s"
    memory   = "1GiB"
  }
}
tailscale {
  required  = false
  when_down = "exit"
  socket    = "/run/tailscale/tailscaled.sock"
}
identity {
  from   = ["tag:aperture", "proxied"]
  header = "X-Forwarded-Email"
}
access {
  allow    = ["local", "tailnet", "proxied", "user@example.com", "tag:aperture", "node:build-1.example.ts.net.", "10.0.0.0/8", "::ffff:192.0.2.0/120", "2001:db8::1", "cap:example.com/cap/x"]
  browsers = ["HTTPS://Chat.Example.com", "http://localhost:3000", "http://[::1]", "*"]
}
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
  when {
    bearer_prefix     = "sk-ant-oat"
    path_prefix       = "/v1/"
    user_agent_prefix = "claude-cli/"
    listener          = "proxy"
  }
}
header "anthropic-beta" {
  mode = "remove"
  when {
    listener = "plain"
  }
}
header x-empty {
  value = ""
}
header "X_Odd" {
  mode  = "default"
  value = "a, \"b\""
}
metrics {
  allow             = []
  textfile          = "/var/lib/oauth-proxyd-prometheus/node-exporter/oauth-proxyd.prom"
  textfile_interval = "1m"
}
log {
  level    = "debug"
  format   = "journal"
  identity = "hashed"
}
