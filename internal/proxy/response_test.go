package proxy_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// A response over HTTP/2 whose status no other protocol can pass on as what it is.
func TestStatusesThatAreNone(t *testing.T) {
	cases := map[string]func(c *frameConn, stream uint32){
		"status of two digits":  func(c *frameConn, stream uint32) { c.response(stream, true, "99") },
		"status of four digits": func(c *frameConn, stream uint32) { c.response(stream, true, "1000") },
	}
	for name, response := range cases {
		t.Run(name, func(t *testing.T) {
			var processed atomic.Int64
			up := framedUpstream(t, func(c *frameConn) {
				for stream := c.wholeRequest(); stream != 0; stream = c.wholeRequest() {
					processed.Add(1)
					response(c, stream)
				}
			})
			d := openDoor(t, up)
			response, body := do(t, newClient(t), post(t, d, "hello"))
			ours(t, response, body, 502, "upstream_protocol", "http_protocol_error")
			if n := processed.Load(); n != 1 {
				t.Errorf("one request was sent %d times", n)
			}
		})
	}
}

// HTTP/2 has no 101. One that comes all the same is not passed on, and the response is.
func TestNoSwitchOfProtocolsPasses(t *testing.T) {
	up := framedUpstream(t, func(c *frameConn) {
		stream := c.wholeRequest()
		c.response(stream, false, "101", "upgrade", "x")
		c.ok(stream, "body")
	})
	response, body := do(t, newClient(t), post(t, openDoor(t, up), "hello"))
	if response.StatusCode != http.StatusOK || body != "body" {
		t.Errorf("status %d, %q", response.StatusCode, body)
	}
}

// A body that begins like net/http's own 431, and comes after its header, passes as it is.
func TestBodyLikeOurOwnRefusalPasses(t *testing.T) {
	text := "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	headerCame := make(chan struct{})
	up := newUpstream(t, "http1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_ = http.NewResponseController(w).Flush()
		<-headerCame
		_, _ = io.WriteString(w, text)
	})
	response, err := newClient(t).Do(request(t, http.MethodGet, openDoor(t, up).url("/"), nil))
	close(headerCame)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != text {
		t.Errorf("%q, %v", body, err)
	}
}

// A Content-Length that is no length is dropped by net/http (RFC 9110 §8.6 lets an intermediary
// recover like that): the end of the stream is the end of the body.
func TestUnusableLengthsOverHTTP2(t *testing.T) {
	for _, lengths := range [][]string{{"4", "5"}, {"+4"}, {"4, 4"}, {"four"}, {"4 5"}} {
		up := framedUpstream(t, func(c *frameConn) {
			for stream := c.wholeRequest(); stream != 0; stream = c.wholeRequest() {
				c.sized(stream, lengths...)
			}
		})
		response, body := do(t, newClient(t), post(t, openDoor(t, up), "hello"))
		if length := response.Header.Get("Content-Length"); response.StatusCode != 200 || body != "body" || length != "" {
			t.Errorf("%q: %d, %q of length %q", lengths, response.StatusCode, body, length)
		}
	}
}

// sized is a response of four bytes that tells these lengths.
func (c *frameConn) sized(stream uint32, lengths ...string) {
	var fields []string
	for _, length := range lengths {
		fields = append(fields, "content-length", length)
	}
	c.response(stream, false, "200", fields...)
	_ = c.WriteData(stream, true, []byte("body"))
}

// A response that is shorter than it says is none that ended well.
func TestResponseShorterThanItsLength(t *testing.T) {
	cases := map[string]func(c *frameConn, stream uint32){
		"ended by DATA":        func(c *frameConn, stream uint32) { c.sized(stream, "5") },
		"ended by its HEADERS": func(c *frameConn, stream uint32) { c.response(stream, true, "200", "content-length", "5") },
	}
	for name, response := range cases {
		t.Run(name, func(t *testing.T) {
			up := framedUpstream(t, func(c *frameConn) {
				for stream := c.wholeRequest(); stream != 0; stream = c.wholeRequest() {
					response(c, stream)
				}
			})
			d := openDoor(t, up)
			response, err := newClient(t).Do(post(t, d, "hello"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = io.ReadAll(response.Body); err == nil {
				t.Error("it ends as if it were whole")
			}
			response.Body.Close()
			if line := d.log.requests(t, 1)[0]; !strings.Contains(line, `"outcome":"upstream_interrupted"`) {
				t.Errorf("logged as %s", line)
			}
		})
	}
}

// Fields about the connection or the framing are not passed on as trailers, and an announced
// trailer may be missing.
func TestResponseTrailers(t *testing.T) {
	cases := []struct{ name, announced, sent, want string }{
		{"framing and hop by hop", "", "X-T: 1\r\nConnection: x\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\nKeep-Alive: 5\r\n", "X-T: 1\r\n"},
		{"hop by hop, announced", "Trailer: X-T, Connection\r\n", "X-T: 1\r\nConnection: x\r\n", "X-T: 1\r\n"},
		{"announced and absent", "Trailer: X-T\r\n", "", ""},
		{"announced and absent, a header field of its name", "X-T: 1\r\nTrailer: X-T\r\n", "", ""},
		{"announced, with one that was not", "Trailer: X-T\r\n", "X-T: 1\r\nX-U: 2\r\n", "X-T: 1\r\nX-U: 2\r\n"},
		{"empty value", "", "X-T: \r\n", "X-T: \r\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := openDoor(t, responseing(t, "HTTP/1.1 200 OK\r\n"+c.announced+"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"+c.sent+"\r\n"))
			response, body := do(t, newClient(t), request(t, http.MethodGet, d.url("/"), nil))
			if got := trailerText(response.Trailer); body != "ok" || got != c.want {
				t.Errorf("body %q, trailer %q, want %q", body, got, c.want)
			}
			conn := d.dial(t)
			conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			if _, got, _ := strings.Cut(conn.rest(), "\r\n0\r\n"); got != c.want+"\r\n" {
				t.Errorf("raw: trailer %q, want %q", got, c.want)
			}
		})
	}
}

// trailerText has the fields that came.
func trailerText(trailer http.Header) string {
	came := http.Header{}
	for name, values := range trailer {
		if len(values) > 0 {
			came[name] = values
		}
	}
	var b strings.Builder
	_ = came.Write(&b)
	return b.String()
}
