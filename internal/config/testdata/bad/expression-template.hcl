log {
  level  = "%{ if true }info%{ endif }"
  format = "${"json"}"
}
