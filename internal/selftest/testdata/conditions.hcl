header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
  when {
    listener          = "team"
    user_agent_prefix = "claude-cli/"
  }
}
header "x-team" {
  value = "blue"
  when {
    path_prefix = "/v1/models"
  }
}
