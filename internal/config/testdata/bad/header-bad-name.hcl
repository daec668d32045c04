header "x foo" {
  value = "x"
}
header "" {
  value = "x"
}
header "x-foo:" {
  value = "x"
}
