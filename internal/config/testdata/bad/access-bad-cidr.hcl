access {
  allow = ["10.0.0.0/33"]
}
