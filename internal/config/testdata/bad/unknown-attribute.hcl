proxy {
  idle_timout = "6m"
}
