proxy {
  max_request_body = "99999999999999999999GiB"
}
