package proxy_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"oauth-proxyd/internal/proxy"
)

// heapAfter is how much the heap holds after f.
func heapAfter(f func()) int64 {
	f()
	runtime.GC()
	runtime.GC() // what a pool held through the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The record of a request and its response is small, whatever they contain: it keeps neither whole
// values nor the strings that values were cut from.
func TestRecordSize(t *testing.T) {
	const size = 60_000
	large := strings.Repeat("a", size)
	requests := map[string]string{
		"session":    "GET / HTTP/1.1\r\nHost: h\r\nX-Claude-Code-Session-Id: " + large + "\r\n\r\n",
		"path":       "GET /" + large + " HTTP/1.1\r\nHost: h\r\n\r\n",
		"query":      "GET /v1/messages?" + large + " HTTP/1.1\r\nHost: h\r\n\r\n",
		"method":     strings.ToUpper(large) + " / HTTP/1.1\r\nHost: h\r\n\r\n",
		"Request-Id": smuggled, "error": smuggled,
	}
	responses := map[string]string{
		"Request-Id": "HTTP/1.1 200 OK\r\nRequest-Id: " + large + "\r\nContent-Length: 2\r\n\r\nok",
		"error":      "HTTP/1.1 200 OK\r\n" + large + "\r\n\r\n",
	}
	for name, sent := range requests {
		t.Run(name, func(t *testing.T) {
			response, ok := responses[name]
			if !ok {
				response = wholeResponse
			}
			var send atomic.Value // the response; all else is the same in both hundreds
			up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
				for r, _ := readRequest(in); r != nil; r, _ = readRequest(in) {
					_, _ = io.WriteString(c, send.Load().(string))
				}
			})
			d := openDoor(t, up, func(s *setup) { s.Log = slog.New(slog.DiscardHandler) })
			conn := d.dial(t)
			hundred := func(request, response string) func() {
				return func() {
					send.Store(response)
					for range 100 {
						conn.send(t, request)
						conn.response(t, http.MethodGet)
					}
				}
			}
			before := heapAfter(hundred(smuggled, wholeResponse))
			grown := heapAfter(hundred(sent, response)) - before
			if grown >= 2<<20 {
				t.Errorf("a hundred requests hold %d bytes more than small ones", grown)
			}
			t.Logf("%d bytes more", grown)
			for _, trace := range d.Ended() {
				checkSizes(t, trace)
			}
		})
	}
}

func checkSizes(t *testing.T, trace proxy.Trace) {
	t.Helper()
	for name, c := range map[string]struct {
		text string
		most int
	}{
		"method": {trace.Method, 40}, "path": {trace.Path, 520}, "session": {trace.Session, 70},
		"upstream id": {trace.UpstreamRequestID, 140}, "error": {trace.Error, 2100},
	} {
		if len(c.text) > c.most {
			t.Fatalf("%d bytes of the %s are kept", len(c.text), name)
		}
	}
}
