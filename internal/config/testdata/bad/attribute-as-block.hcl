log {
  level {
    name = "info"
  }
}
