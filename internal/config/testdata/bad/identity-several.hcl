identity {
  from   = ["local", "everybody", "tag:aperture"]
  header = "authorization"
}
