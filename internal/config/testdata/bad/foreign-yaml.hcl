proxy:
  listen_addr: ":8080"
access:
  allow:
    - local
