header "x-upstream-auth" {
  value = "Bearer hunter2"
}
