header "proxy-authorization" { value = "hunter2" }
