header "x-foo" {
}
header "x-bar" {
  mode = "merge"
}
