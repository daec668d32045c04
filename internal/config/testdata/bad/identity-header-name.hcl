identity {
  from   = ["tag:aperture"]
  header = "the person"
}
