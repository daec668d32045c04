header "x-a" "x-b" {
  value = "x"
}
