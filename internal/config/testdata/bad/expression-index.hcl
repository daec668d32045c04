log {
  level = ["info"][0]
}
access {
  allow = ["local", ["tailnet"][0], "x"[*]]
}
