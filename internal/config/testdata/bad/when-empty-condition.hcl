header "x-foo" {
  value = "a"
  when {
    path_prefix = ""
  }
}
