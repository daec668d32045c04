access {
  allow = ["local", "tailnet", "tag:one", "tag:two", "tag:three", "everyone", "tag:four", "tag:five", "tag:six", "tag:seven"]
}
