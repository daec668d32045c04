header {
  value = "x"
}
