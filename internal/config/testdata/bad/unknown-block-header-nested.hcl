proxy {
  header "x-foo" {
    value = "a"
  }
}
