header "x-foo" {
  mode  = "remove"
  value = "x"
}
