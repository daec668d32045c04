header "x-token" {
  value = "hunter2"
}
identity {
  header = "x-auth-request-email"
}
