proxy {
  handover_timeout = "1d"
}
