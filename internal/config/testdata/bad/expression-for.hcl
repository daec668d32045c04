access {
  allow = [for s in ["local"] : s]
}
