header "host" {
  mode = "remove"
}
header "content-length" {
  mode = "remove"
}
header "transfer-encoding" {
  mode = "remove"
}
header "connection" {
  mode = "remove"
}
header "keep-alive" {
  mode = "remove"
}
header "proxy-authenticate" {
  mode = "remove"
}
header "proxy-connection" {
  mode = "remove"
}
header "TE" {
  mode = "remove"
}
header "trailer" {
  mode = "remove"
}
header "upgrade" {
  mode = "remove"
}
header "http2-settings" {
  mode = "remove"
}
