proxy {
  max_request_body = "512MB"
}
