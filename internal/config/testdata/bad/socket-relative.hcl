tailscale {
  socket = "tailscaled.sock"
}
