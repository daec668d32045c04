listener "batch" {
  address = ":9000"
}
proxy {
  listener "b" {
  }
  listeners = [":9000"]
  listen = ":9000"
}
