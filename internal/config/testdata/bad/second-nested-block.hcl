proxy {
  retry {
  }
  retry {
  }
}
