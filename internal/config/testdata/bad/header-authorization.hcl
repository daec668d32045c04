header "Authorization" {
  value = "Bearer hunter2hunter2"
}
