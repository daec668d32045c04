package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// An upstream may response a request that is still coming, and be done with it. The client must
// have the whole response although it sends nothing more.
func TestEarlyResponseEndsDuringPause(t *testing.T) {
	responses := map[string]http.HandlerFunc{
		"chunked refusal": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "no")
		},
		"refusal of known length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "no")
		},
	}
	for name, h := range responses {
		t.Run(name, func(t *testing.T) {
			early := func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1 reads all of the body first otherwise
				h(w, r)
			}
			forEachProtocol(t, early, func(t *testing.T, up *mockAPI) {
				d := openDoor(t, up)
				for range 3 {
					c := d.dial(t)
					c.send(t, "POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 5000))
					response, body := c.response(t, "POST")
					if response.StatusCode != http.StatusUnauthorized || body != "no" {
						t.Fatalf("status %d, body %q", response.StatusCode, body)
					}
					c.Close()
				}
			})
		})
	}
}

// The rest of the request is dropped: the client is told to use another connection, and no byte on
// this one is taken for the next request.
func TestEarlyResponseClosesConnection(t *testing.T) {
	for _, rest := range []int{1, 1 << 20} {
		t.Run(fmt.Sprintf("%d bytes", rest), func(t *testing.T) {
			up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
				for _, err := http.ReadRequest(in); err == nil; _, err = http.ReadRequest(in) {
					_, _ = io.WriteString(c, wholeResponse)
				}
			})
			d := openDoor(t, up)
			c := d.dial(t)
			c.send(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\nx", rest+1))
			if response, body := c.response(t, http.MethodPost); body != "ok" || !response.Close {
				t.Errorf("body %q, close %t", body, response.Close)
			}
			_, _ = io.WriteString(c, strings.Repeat("x", rest)+smuggled) // the connection may be gone
			if more := c.rest(); more != "" {
				t.Errorf("then came %q", more)
			}
			if lines := d.log.requests(t, 1); len(lines) > 1 {
				t.Errorf("the rest was taken for a request: %s", lines[1])
			}
		})
	}
}
