package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// seenOnce counts the requests that an upstream got, by the id that each carries.
type seenOnce struct {
	mu   sync.Mutex
	seen map[string]int
}

func (s *seenOnce) note(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = make(map[string]int)
	}
	s.seen[r.Header.Get("X-Number")]++
}

// twice are the requests that came more than once.
func (s *seenOnce) twice() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.seen {
		if n > 1 {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

// countingReader counts the bytes that were read.
type countingReader struct {
	io.Reader
	n int64
}

// Read implements io.Reader.
func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += int64(n)
	return n, err
}

// The connection to the upstream ends after each byte of the request, and of the response. Only an
// upstream that got nothing of it may get it again.
func TestCloseAtEveryByteOfRequest(t *testing.T) {
	var limit, conns, whole atomic.Int64
	up := listenScript(t, nil, nil, func(c net.Conn) {
		conns.Add(1)
		if n := limit.Load(); n > 0 {
			_, _ = io.CopyN(io.Discard, c, n)
			return
		}
		in := countingReader{Reader: c}
		_, _ = readRequest(bufio.NewReader(&in))
		whole.Store(in.n)
	})
	d := openDoor(t, up)
	c := newClient(t)
	for n := int64(0); n <= whole.Load(); n++ { // the first gets all, and tells how much that is
		limit.Store(n)
		conns.Store(0)
		r := post(t, d, strings.Repeat("x", 20))
		r.Header.Set("Idempotency-Key", "one")
		response, body := do(t, c, r)
		if used := conns.Load(); used != 1 {
			t.Errorf("%d bytes: %d connections", n, used)
		}
		if response.StatusCode != http.StatusBadGateway || code(body) != "upstream_protocol" {
			t.Fatalf("%d bytes: status %d, body %s", n, response.StatusCode, body)
		}
	}
	if whole.Load() < 100 {
		t.Errorf("the request had %d bytes", whole.Load())
	}
}

func TestCloseAtEveryByteOfResponse(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"
	const header = len("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
	var mu sync.Mutex
	limit := 0
	var seen seenOnce
	up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		r, _ := readRequest(in)
		if r == nil {
			return
		}
		seen.note(r)
		mu.Lock()
		n := limit
		mu.Unlock()
		_, _ = io.WriteString(c, whole[:n])
	})
	d := openDoor(t, up)
	c := newClient(t)
	for n := range len(whole) {
		mu.Lock()
		limit = n
		mu.Unlock()
		r := post(t, d, "")
		r.Header.Set("Idempotency-Key", "one")
		r.Header.Set("X-Number", strconv.Itoa(n))
		response, err := c.Do(r)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		_, err = io.ReadAll(response.Body)
		response.Body.Close()
		switch {
		case n < header && response.StatusCode != http.StatusBadGateway:
			t.Errorf("%d bytes: status %d", n, response.StatusCode)
		case n >= header && (response.StatusCode != http.StatusOK || err == nil):
			t.Errorf("%d bytes: status %d, and the body ends as if whole", n, response.StatusCode)
		}
	}
	if again := seen.twice(); len(again) > 0 {
		t.Errorf("sent again: %q", again)
	}
}
