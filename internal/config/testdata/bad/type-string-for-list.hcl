access {
  allow = "local"
}
