package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// A body is longBody bytes longer than what the proxy keeps, so an attempt reads its end from the
// client itself.
const (
	keptBody = 1 << 20
	longBody = keptBody + 300_000
)

// pausedUpload sends longBody bytes of a body that never ends, with more fields of the header.
func pausedUpload(t *testing.T, d *door, fields string) *rawConn {
	t.Helper()
	c := d.dial(t)
	c.send(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n", fields, 2*longBody))
	if strings.Contains(fields, "Expect") {
		if response, err := http.ReadResponse(c.in, nil); err != nil || response.StatusCode != http.StatusContinue {
			t.Fatalf("got %v, %v, want a 100", response, err)
		}
	}
	c.send(t, strings.Repeat("x", longBody))
	return c
}

// takeLong reads all that pausedUpload sends.
func takeLong(r *http.Request) { _, _ = io.CopyN(io.Discard, r.Body, longBody) }

// Whatever the upstream responds while a client pauses in its upload, the client has it at once.
func TestResponseDuringPauseOfLongBody(t *testing.T) {
	for _, fields := range []string{"", "Expect: 100-continue\r\n"} {
		for _, status := range []int{http.StatusOK, http.StatusRequestEntityTooLarge} {
			respond := func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				takeLong(r)
				w.Header().Set("Request-Id", "req_1")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "enough")
			}
			forEachProtocol(t, respond, func(t *testing.T, up *mockAPI) {
				d := openDoor(t, up)
				c := pausedUpload(t, d, fields)
				response, body := c.response(t, http.MethodPost)
				if response.StatusCode != status || body != "enough" || !response.Close {
					t.Errorf("status %d, body %q, close %t", response.StatusCode, body, response.Close)
				}
				if line := d.log.requests(t, 1)[0]; !strings.Contains(line, `"outcome":"ok"`) {
					t.Errorf("log: %s", line)
				}
			})
		}
	}
}

// A stream that begins during an upload goes on when the client pauses.
func TestStreamDuringPauseOfLongBody(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
		stream := func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			takeLong(r)
			w.WriteHeader(status)
			for range 20 {
				_, _ = io.WriteString(w, "data: x\n\n")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}
		forEachProtocol(t, stream, func(t *testing.T, up *mockAPI) {
			c := pausedUpload(t, openDoor(t, up), "")
			response, body := c.response(t, http.MethodPost)
			if want := strings.Repeat("data: x\n\n", 20); response.StatusCode != status || body != want {
				t.Errorf("status %d, body %q", response.StatusCode, body)
			}
		})
	}
}

func TestPauseInLongBody(t *testing.T) {
	take := func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	forEachProtocol(t, take, func(t *testing.T, up *mockAPI) {
		t.Run("too long", func(t *testing.T) {
			c := pausedUpload(t, openDoor(t, up, shortIdle), "")
			if response, body := c.response(t, http.MethodPost); code(body) != "client_idle_timeout" {
				t.Errorf("status %d, body %s", response.StatusCode, body)
			}
		})
		t.Run("client leaves", func(t *testing.T) {
			d := openDoor(t, up)
			c := pausedUpload(t, d, "")
			eventually(t, "all is sent", func() bool { f := d.InFlight(); return len(f) == 1 && f[0].BytesIn == longBody })
			c.Close()
			d.wantGone(t, "sending")
		})
	})
}

// The upstream ends the request while the client pauses. It may have processed what it took.
func TestLongBodyIsSentOnce(t *testing.T) {
	ends := map[string]func(c *frameConn, stream uint32){
		"refused stream": func(c *frameConn, stream uint32) { _ = c.WriteRSTStream(stream, http2.ErrCodeRefusedStream) },
		"GOAWAY below":   func(c *frameConn, _ uint32) { _ = c.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"closed":         func(c *frameConn, _ uint32) { c.Close() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			requests := make(chan uint32, 10)
			up := framedUpstream(t, func(c *frameConn) {
				_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 4 * longBody})
				_ = c.WriteWindowUpdate(0, 4*longBody)
				stream, taken := c.request(), 0
				requests <- stream
				for taken < longBody {
					data, ok := c.next().(*http2.DataFrame)
					if !ok {
						return
					}
					taken += len(data.Data())
				}
				end(c, stream)
				c.untilEnd()
			})
			d := openDoor(t, up)
			c := pausedUpload(t, d, "")
			response, body := c.response(t, http.MethodPost)
			if response.StatusCode != http.StatusBadGateway || code(body) != "upstream_protocol" || !response.Close {
				t.Errorf("status %d, close %t, body %s", response.StatusCode, response.Close, body)
			}
			if len(requests) != 1 {
				t.Errorf("sent %d times", len(requests))
			}
			counts(t, d, `proxy_requests_total{method="POST",status="502"}`, 1)
		})
	}
}

// What is refused before the upstream took more than is kept is sent again, however long it is.
func TestLongBodyIsSentAgain(t *testing.T) {
	refused := make(chan bool, 10)
	up := framedUpstream(t, func(c *frameConn) {
		_ = c.WriteRSTStream(c.request(), http2.ErrCodeRefusedStream)
		refused <- true
		_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 4 * longBody})
		_ = c.WriteWindowUpdate(0, 4*longBody)
		c.ok(c.wholeRequest(), "done")
		c.untilEnd()
	})
	d := openDoor(t, up)
	response, body := do(t, newClient(t), post(t, d, strings.Repeat("x", longBody)))
	if response.StatusCode != http.StatusOK || body != "done" || len(refused) != 1 {
		t.Errorf("status %d, body %s, refused %d times", response.StatusCode, body, len(refused))
	}
}

// A connection that is reset before it has taken a byte costs nobody a request, however long.
func TestLongBodyOnDeadConnection(t *testing.T) {
	var accepted atomic.Int64
	up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		if accepted.Add(1)%2 == 1 {
			resetConn(c)
			return
		}
		if r, _ := readRequest(in); r != nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		}
	})
	d := openDoor(t, up)
	for range 30 {
		// Bytes that the kernel took before the reset came may have been processed.
		response, body := do(t, newClient(t), post(t, d, strings.Repeat("x", longBody)))
		if response.StatusCode != http.StatusOK && !strings.Contains(body, "may have processed") {
			t.Errorf("status %d, body %s", response.StatusCode, body)
		}
	}
}

// A long body and its trailers pass in both directions at once.
func TestLongBodyIsEchoed(t *testing.T) {
	both := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(w, r.Body)
		_, _ = io.WriteString(w, r.Trailer.Get("X-Sum"))
	}
	forEachProtocol(t, both, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up)
		part := strings.Repeat("0123456789abcdef", 4096)
		r := request(t, http.MethodPost, d.url("/"), io.NopCloser(strings.NewReader(strings.Repeat(part, 60))))
		r.ContentLength, r.Trailer = -1, http.Header{"X-Sum": {"the sum"}}
		if response, body := do(t, newClient(t), r); response.StatusCode != http.StatusOK || body != strings.Repeat(part, 60)+"the sum" {
			t.Errorf("status %d, %d bytes", response.StatusCode, len(body))
		}
	})
}

// An upstream over HTTP/1.1 that responds and closes while the client sends, and reads no more.
func TestEarlyRefusalOfLongBody(t *testing.T) {
	up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		if r, err := http.ReadRequest(in); err == nil {
			takeLong(r)
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
		}
	})
	c := pausedUpload(t, openDoor(t, up), "")
	_, _ = io.WriteString(c, strings.Repeat("x", 100_000)) // the connection may be gone
	if response, body := c.response(t, http.MethodPost); response.StatusCode != http.StatusRequestEntityTooLarge || body != "no" {
		t.Errorf("status %d, body %q", response.StatusCode, body)
	}
}

func TestLongBodyBeyondTheLimit(t *testing.T) {
	forEachProtocol(t, echo, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up, func(s *setup) { s.Proxy.MaxRequestBody = longBody - 1 })
		r := request(t, http.MethodPost, d.url("/"), io.NopCloser(strings.NewReader(strings.Repeat("x", longBody))))
		r.ContentLength = -1
		if response, body := do(t, newClient(t), r); response.StatusCode != http.StatusRequestEntityTooLarge || code(body) != "request_too_large" {
			t.Errorf("status %d, body %s", response.StatusCode, body)
		}
	})
}
