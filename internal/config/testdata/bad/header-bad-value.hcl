header "x-foo" {
  value = "a\nx-bar: b"
}
header "x-bar" {
  value = " x"
}
