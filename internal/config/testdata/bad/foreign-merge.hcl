proxy {
<<<<<<< HEAD
  listen_addr = ":8080"
=======
  listen_addr = ":8081"
>>>>>>> other
}
