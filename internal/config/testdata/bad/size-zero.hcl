proxy {
  max_request_body = "0B"
}
