log {
  level = "loud"
}
