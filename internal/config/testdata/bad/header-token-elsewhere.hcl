header "x-note" {
  value = "sk-ant-api03-hunter2hunter2"
}
