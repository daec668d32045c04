header "x-foo" {
  value = "a"
  when {
    user_agent_prefix = "claude\u0007"
  }
}
