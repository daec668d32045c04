header "x-foo" {
  value = "a"
  when {
    bearer_prefix = "sk-ant-oat01-hunter2hunter2"
  }
}
