header "authorization" {
  value = "Token hunter2"
}
