log {
  level = true
}
