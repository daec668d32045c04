when {
  listener = "batch"
}
