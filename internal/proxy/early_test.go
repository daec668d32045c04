package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An upstream may answer a request that is still coming, and be done with it. The
// client must have the whole answer although it sends nothing more.
func TestEarlyAnswerEndsWhileTheClientPauses(t *testing.T) {
	answers := map[string]http.HandlerFunc{
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
	for name, h := range answers {
		t.Run(name, func(t *testing.T) {
			early := func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1 reads all of the body first otherwise
				h(w, r)
			}
			forEachProtocol(t, early, func(t *testing.T, up *upstream) {
				d := openDoor(t, up)
				for range 3 {
					c := d.dial(t)
					c.send(t, "POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 5000))
					start := time.Now()
					answer, body := c.answer(t, "POST")
					if answer.StatusCode != http.StatusUnauthorized || body != "no" {
						t.Fatalf("status %d, body %q", answer.StatusCode, body)
					}
					if took := time.Since(start); took > 5*time.Second {
						t.Fatalf("the end of the answer came after %v", took)
					}
					c.Close()
				}
			})
		})
	}
}
