log {
  colour = "red"
}
