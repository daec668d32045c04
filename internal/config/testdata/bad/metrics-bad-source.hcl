metrics {
  allow = ["tailnet", "tag:a b"]
}
