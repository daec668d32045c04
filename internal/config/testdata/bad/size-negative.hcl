proxy {
  retry {
    memory = "-1MiB"
  }
}
