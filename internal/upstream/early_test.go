package upstream_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

const (
	// earlyTimes is how often each early response is tried: which of the response and the failed
	// write comes first differs from time to time.
	earlyTimes = 200
	earlyBody  = `{"type":"error","error":{"type":"request_too_large"}}`
)

// earlyLengths are those of the requests, on both sides of what the kernel and the coalescer take
// without the upstream.
func earlyLengths() []int {
	return []int{0, 1, 16 << 10, 100_000, 1<<20 + 1}
}

// refusesHTTP1 responds when it has read a part of the body, and closes with the rest of it unread,
// which resets the connection.
func refusesHTTP1(response string, closed chan<- struct{}) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { closed <- struct{}{} }()
		if r := header(c); r == nil {
			return
		}
		_, _ = io.WriteString(c, response)
		c.Close()
	}
}

// refusesHTTP2 responds to the first request before its body, ends the connection as end says, and
// closes it without reading more.
func refusesHTTP2(end func(f *framed, stream uint32), closed chan<- struct{}) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { closed <- struct{}{} }()
		f := newFramed(c)
		if f == nil || f.WriteSettings() != nil {
			return
		}
		if stream := f.request(); stream != 0 {
			f.respond(stream, "413", earlyBody)
			end(f, stream)
		}
		f.Close()
	}
}

// An upstream that refuses a request before it has read it, and is done with the connection, is
// heard, whatever of the request could not be written any more.
func TestEarlyResponsesAreHeard(t *testing.T) {
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(earlyBody), earlyBody)
	chunked := fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(earlyBody), earlyBody)
	const status, closes = "HTTP/1.1 413 Payload Too Large\r\n", "Connection: close\r\n"
	http1 := map[string]string{
		"length":         status + length,
		"length, close":  status + closes + length,
		"chunked, close": status + closes + chunked,
	}
	for name, response := range http1 {
		for _, protocols := range [][]string{nil, {"http/1.1"}} {
			t.Run(fmt.Sprint("HTTP1 ", name, protocols), func(t *testing.T) {
				closed := make(chan struct{}, 1)
				hearsEarly(t, listenOn(t, refusesHTTP1(response, closed), protocols...), closed)
			})
		}
	}
	http2Ends := map[string]func(f *framed, stream uint32){
		"nothing more":        func(*framed, uint32) {},
		"RST_STREAM NO_ERROR": func(f *framed, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeNo) },
		"GOAWAY":              func(f *framed, stream uint32) { _ = f.WriteGoAway(stream, http2.ErrCodeNo, nil) },
		"GOAWAY with an error": func(f *framed, stream uint32) {
			_ = f.WriteGoAway(stream, http2.ErrCodeEnhanceYourCalm, nil)
		},
	}
	for name, end := range http2Ends {
		t.Run("HTTP2 "+name, func(t *testing.T) {
			closed := make(chan struct{}, 1)
			hearsEarly(t, listenOn(t, refusesHTTP2(end, closed), "h2"), closed)
		})
	}
}

// hearsEarly sends requests of all lengths, framed in both ways.
func hearsEarly(t *testing.T, o *origin, closed <-chan struct{}) {
	t.Parallel()
	pool := o.pool(t)
	large := strings.Repeat("x", slices.Max(earlyLengths()))
	lost := 0
	for i := range earlyTimes {
		size := earlyLengths()[i%len(earlyLengths())]
		length := int64(size)
		if i/len(earlyLengths())%2 == 1 {
			length = -1
		}
		send := func() *http.Request { return post(t, strings.NewReader(large[:size]), length) }
		response, body, err := attemptUntilProcessed(pool, send)
		if err != nil || response.StatusCode != http.StatusRequestEntityTooLarge || body != earlyBody {
			t.Logf("%d bytes, length %d: %v, %q", size, length, err, body)
			lost++
		}
		receive(t, closed, "the end of the connection") // or the next request may be sent on it
	}
	if lost > 0 {
		t.Errorf("%d of %d responses were lost", lost, earlyTimes)
	}
}
