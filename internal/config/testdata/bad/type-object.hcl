log {
  level = { name = "info" }
}
