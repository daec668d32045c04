proxy {
  drain_timeout = "1000h"
}
