header "x-api-key" {
  mode  = "default"
  vaule = "hunter2"
}
