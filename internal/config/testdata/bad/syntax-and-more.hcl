log {
  level = = "info"
}
access {
  allow = []
}
