tailscale {
  required = "true"
}
