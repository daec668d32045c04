header "x-foo" {
  value = "x"
  mode  = "mrge"
}
