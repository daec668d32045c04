proxy {
  max_request_body = "1.5GiB"
}
