header "x-foo" {
  value = "a"
  when {
    method = "GET"
  }
}
