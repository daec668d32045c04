proxy {
  retries {
    attempts = 3
  }
}
