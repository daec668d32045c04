access {
  allow = [
    "tag:",
    "tag:1st",
    "node:",
    "cap:x",
    "@example.com",
    "group:dev",
    "autogroup:member",
    "",
  ]
}
