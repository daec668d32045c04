header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
  when {
    bearer_prefix = "sk-ant-ota"
  }
}
