identity {
  from   = ["127.0.0.2/32"]
  header = "x-auth-token"
}
