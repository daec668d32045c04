package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

const eventError = "event: error\ndata: {"

// broken is a response that does not end, and what its client is to see.
type broken struct {
	name       string
	header     string // of the response, over HTTP/1.1
	sent       string
	wantsEvent bool
}

func brokenResponses() []broken {
	const chunked, sse = "Transfer-Encoding: chunked\r\n", "Content-Type: text/event-stream\r\n"
	event := "data: a\n\n"
	return []broken{
		{"events, at a boundary", chunked + sse, event, true},
		{"events, before the first", chunked + sse, "", true},
		{"events with a charset, at a boundary", chunked + "Content-Type: text/event-stream; charset=utf-8\r\n", event, true},
		{"events with CR LF", chunked + sse, "data: a\r\n\r\n", true},
		{"events, inside one", chunked + sse, event + "data: b\n", false},
		{"events, inside a line", chunked + sse, event + "da", false},
		{"gzip events", chunked + sse + "Content-Encoding: gzip\r\n", event, false},
		{"events of a length", sse + "Content-Length: 100\r\n", event, false},
		{"plain, of a length", "Content-Type: text/plain\r\nContent-Length: 100\r\n", event, false},
		{"plain, chunked", chunked + "Content-Type: text/plain\r\n", event, false},
		{"without a type", chunked, event, false},
	}
}

// bytes is the response over HTTP/1.1, as far as it comes.
func (b broken) bytes() string {
	text := "HTTP/1.1 200 OK\r\n" + b.header + "\r\n"
	if !strings.Contains(b.header, "chunked") {
		return text + b.sent
	}
	if b.sent == "" {
		return text
	}
	return text + fmt.Sprintf("%x\r\n%s\r\n", len(b.sent), b.sent)
}

func (b broken) fields() (all []string) {
	for line := range strings.SplitSeq(b.header, "\r\n") {
		name, value, ok := strings.Cut(line, ": ")
		if ok && name != "Transfer-Encoding" {
			all = append(all, strings.ToLower(name), value)
		}
	}
	return all
}

// deaths are the ways in which an upstream can break a response off.
func deaths(b broken) map[string]func(*testing.T) *mockAPI {
	over1 := func(end func(net.Conn)) func(*testing.T) *mockAPI {
		return func(t *testing.T) *mockAPI {
			return scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
				if r, _ := readRequest(in); r != nil {
					_, _ = io.WriteString(c, b.bytes())
					end(c)
				}
			})
		}
	}
	over2 := func(end func(c *frameConn, stream uint32)) func(*testing.T) *mockAPI {
		return func(t *testing.T) *mockAPI {
			return framedUpstream(t, func(c *frameConn) {
				for stream := c.wholeRequest(); stream != 0; stream = c.wholeRequest() {
					c.response(stream, false, "200", b.fields()...)
					_ = c.WriteData(stream, false, []byte(b.sent))
					end(c, stream)
				}
			})
		}
	}
	return map[string]func(*testing.T) *mockAPI{
		"http1 closes":  over1(func(net.Conn) {}),
		"http1 stalls":  over1(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }),
		"http2 closes":  over2(func(c *frameConn, _ uint32) { c.Close() }),
		"http2 resets":  over2(func(c *frameConn, s uint32) { _ = c.WriteRSTStream(s, http2.ErrCodeInternal) }),
		"http2 refuses": over2(func(c *frameConn, s uint32) { _ = c.WriteRSTStream(s, http2.ErrCodeRefusedStream) }),
		"http2 resets without an error": over2(func(c *frameConn, s uint32) {
			_ = c.WriteRSTStream(s, http2.ErrCodeNo)
		}),
		"http2 stalls":          over2(func(*frameConn, uint32) {}),
		"http2 goes away below": over2(func(c *frameConn, _ uint32) { _ = c.WriteGoAway(0, http2.ErrCodeInternal, nil) }),
		"http2 breaks the rules": over2(func(c *frameConn, _ uint32) {
			_ = c.WriteRawFrame(http2.FrameHeaders, 0, 0, []byte("x"))
		}),
	}
}

func TestCutResponseNeverLooksWhole(t *testing.T) {
	for _, b := range brokenResponses() {
		for name, upstreamOf := range deaths(b) {
			t.Run(b.name+"/"+name, func(t *testing.T) {
				d := openDoor(t, upstreamOf(t), func(s *setup) {
					if strings.Contains(name, "stalls") {
						shortIdle(s)
					}
				})
				response, err := newClient(t).Do(request(t, http.MethodPost, d.url("/"), http.NoBody))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err == nil {
					t.Errorf("the response ends as if it were whole: %q", body)
				}
				b.check(t, string(body), strings.Contains(name, "stalls"))
				d.wantCut(t, strings.Contains(name, "stalls"))
			})
		}
	}
}

func (b broken) check(t *testing.T, body string, stalls bool) {
	t.Helper()
	rest, ok := strings.CutPrefix(body, b.sent)
	if !ok {
		t.Errorf("what the upstream sent did not come first: %q", body)
	}
	if (rest != "") != b.wantsEvent {
		t.Errorf("after what the upstream sent came %q", rest)
	}
	want := "upstream_interrupted"
	if stalls {
		want = "upstream_idle_timeout"
	}
	if b.wantsEvent && (!strings.HasPrefix(rest, eventError) || !strings.HasSuffix(rest, "}\n\n") || code(rest) != want) {
		t.Errorf("the last event is %q", rest)
	}
}

func (d *door) wantCut(t *testing.T, stalls bool) {
	t.Helper()
	d.log.requests(t, 1)
	by := "upstream"
	if stalls {
		by = "timeout"
	}
	if n := metric(t, d.reg, `proxy_responses_cut_total{by="`+by+`"}`); n != 1 {
		t.Errorf("%v responses counted as cut", n)
	}
	if n := metric(t, d.reg, `proxy_upstream_errors_total{error_type="response_read"}`); n != 1 {
		t.Errorf("%v errors of response_read counted", n)
	}
}

// A client of HTTP/1.0 knows the end of a response by the end of the connection.
func TestBrokenResponseResetsHTTP10(t *testing.T) {
	for _, b := range brokenResponses() {
		t.Run(b.name, func(t *testing.T) {
			up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
				if r, _ := readRequest(in); r != nil {
					_, _ = io.WriteString(c, b.bytes())
				}
			})
			d := openDoor(t, up)
			c := d.dial(t)
			c.send(t, "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
			if text, err := io.ReadAll(c); err == nil {
				t.Errorf("the response ends as if it were whole: %q", text)
			}
		})
	}
}

// A whole response ends in an ordinary way.
func TestWholeResponseNoResetHTTP10(t *testing.T) {
	const size = 1 << 20
	d := openDoor(t, newUpstream(t, "http1", func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush() // so it has no length
		_, _ = io.CopyN(w, nulls{}, size)
	}))
	for range 10 {
		c := d.dial(t)
		c.send(t, "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
		if n, err := io.Copy(io.Discard, c); n < size || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
}
