proxy {
  upstream_url = env("UPSTREAM")
}
