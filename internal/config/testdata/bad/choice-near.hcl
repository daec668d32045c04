tailscale {
  when_down = "waits"
}
