access {
  allow = []
}
