access {
  browsers = "https://chat.example.com"
}
