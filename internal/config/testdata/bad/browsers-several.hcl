access {
  browsers = [
    "chat.example.com",
    "https://chat.example.com/",
    "https://chat.example.com/path",
    "https://*.example.com",
    "null",
    "https://user:hunter2@chat.example.com",
    "https://chat.example.com:0",
    "",
    8080,
  ]
}
