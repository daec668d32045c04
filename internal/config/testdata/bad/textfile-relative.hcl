metrics {
  textfile = "oauth-proxyd.prom"
}
