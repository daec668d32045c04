identity {
  from   = ["tag:aperture"]
  header = "x-api_key"
}
