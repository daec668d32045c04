header "x-api-key" {
  value = "hunter2
}
