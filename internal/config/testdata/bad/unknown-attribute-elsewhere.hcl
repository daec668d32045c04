log {
  attempts = 3
}
