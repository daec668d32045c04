header "x-foo" {
  value = "a"
  when {
    path_prefix = "v1/"
  }
}
header "x-bar" {
  value = "a"
  when {
    path_prefix = "/v1?beta"
  }
}
