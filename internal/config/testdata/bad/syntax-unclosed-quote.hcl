log {
  level = "info
}
