access {
  allow = ["*"]
}
