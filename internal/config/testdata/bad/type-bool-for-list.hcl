access {
  allow = true
}
