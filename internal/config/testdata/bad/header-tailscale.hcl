header "Tailscale-User-Login" {
  value = "x"
}
