retry {
  attempts = 3
}
