header "x-foo" {
  value = "a"
}
header "X-Foo" {
  mode = "remove"
}
