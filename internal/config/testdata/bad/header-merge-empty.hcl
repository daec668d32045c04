header "x-foo" {
  mode  = "merge"
  value = ""
}
header "x-bar" {
  mode  = "merge"
  value = "a,,b"
}
