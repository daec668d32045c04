access {
  allow = ["local", 5, null]
}
