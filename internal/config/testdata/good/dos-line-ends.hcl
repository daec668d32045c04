# comment
log {
  level = "warn"
}
