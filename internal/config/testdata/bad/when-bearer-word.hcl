header "x-foo" {
  value = "a"
  when {
    bearer_prefix = "Bearer sk-ant-oat"
  }
}
