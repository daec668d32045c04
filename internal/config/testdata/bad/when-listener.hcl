header "x-foo" {
  value = "a"
  when {
    listener = "a:b"
  }
}
