access {
  allow = [local, "tailnet"]
}
