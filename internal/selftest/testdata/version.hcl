header "anthropic-version" {
  mode = "remove"
}

header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
}
