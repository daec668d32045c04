header "x-foo" {
  value = "a"
  when {
    path_prefix = "/v1/"
    listener    = "proxy"
  }
}
header "x-foo" {
  value = "b"
  when {
    listener    = "proxy"
    path_prefix = "/v1/"
  }
}
