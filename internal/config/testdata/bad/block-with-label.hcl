proxy "main" {
}
