access {
  identity = "full"
}
