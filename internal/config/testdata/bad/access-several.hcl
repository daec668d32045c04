access {
  allow = [
    "tag:",
    "node:",
    "cap:",
    "group:dev",
    "autogroup:member",
    "",
  ]
}
