tailscale {
  socket = "/run/tailscale/"
}
