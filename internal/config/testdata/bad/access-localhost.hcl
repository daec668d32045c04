access {
  allow = ["localhost"]
}
