access {
  allow = ["local", "tailnets"]
}
