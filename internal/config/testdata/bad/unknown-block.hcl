acess {
  allow = ["local"]
}
