metrics {
  textfile = "/var/lib/oauth-proxyd.txt"
}
