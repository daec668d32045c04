package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A request ends in time also when its response has begun and the upstream takes no more of its
// body: net/http waits for the window of the stream then, and for nothing else.
func TestResponseEndsWhileUploadBlocks(t *testing.T) {
	const body = 200_000 // is more than the first window of a stream
	for name, leave := range map[string]bool{"upstream silent": false, "client leaves": true} {
		t.Run(name, func(t *testing.T) {
			up := framedUpstream(t, func(c *frameConn) {
				stream := c.request()
				c.response(stream, false, "200")
				_ = c.WriteData(stream, false, []byte("x"))
				c.untilEnd()
			})
			idle := 300 * time.Millisecond
			if leave {
				idle = time.Hour
			}
			d := openDoor(t, up, func(s *setup) { s.Proxy.IdleTimeout = idle })
			response, err := newClient(t).Do(post(t, d, strings.Repeat("x", body)))
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != http.StatusOK {
				t.Errorf("status %d", response.StatusCode)
			}
			if !leave {
				if _, err := io.ReadAll(response.Body); err == nil {
					t.Error("the response looks whole")
				}
			}
			response.Body.Close()
			eventually(t, "the slot is free", func() bool { return d.Stats().InFlight == 0 })
		})
	}
}
