log {
  level = null
}
