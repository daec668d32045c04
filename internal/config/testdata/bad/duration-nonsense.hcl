proxy {
  idle_timeout = "soon"
}
