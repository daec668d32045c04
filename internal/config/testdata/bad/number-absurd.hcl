proxy {
  retry {
    attempts = 1e30
  }
}
