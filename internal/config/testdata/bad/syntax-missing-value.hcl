log {
  level =
}
