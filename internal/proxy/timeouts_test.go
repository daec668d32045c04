package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const short = 150 * time.Millisecond

func shortIdle(s *setup) { s.Proxy.IdleTimeout = short }

func TestUpstreamBeginsNoResponse(t *testing.T) {
	forEachProtocol(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up, func(s *setup) { s.Proxy.ResponseHeaderTimeout = short })
		response, body := do(t, newClient(t), post(t, d, "hello"))
		if response.StatusCode != http.StatusGatewayTimeout || code(body) != "upstream_header_timeout" {
			t.Errorf("status %d, body %s", response.StatusCode, body)
		}
		counts(t, d, `proxy_upstream_errors_total{error_type="timeout"}`, 1)
	})
}

func TestClientStopsSending(t *testing.T) {
	for _, protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			cancelled := make(chan struct{})
			up := newUpstream(t, protocol, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				close(cancelled)
			})
			d := openDoor(t, up, shortIdle)
			body, w := io.Pipe()
			defer w.Close()
			go func() { _, _ = io.WriteString(w, "hello") }()
			r := request(t, http.MethodPost, d.url("/"), body)
			response, text := do(t, newClient(t), r)
			if response.StatusCode != http.StatusRequestTimeout || code(text) != "client_idle_timeout" {
				t.Errorf("status %d, body %s", response.StatusCode, text)
			}
			receive(t, cancelled, "the end at the upstream")
		})
	}
}

func TestUpstreamStopsReading(t *testing.T) {
	stuck := map[string]func(*testing.T) *mockAPI{
		"http1": func(t *testing.T) *mockAPI {
			return scriptedUpstream(t, func(net.Conn, *bufio.Reader) { <-t.Context().Done() })
		},
		"http1 over TLS": func(t *testing.T) *mockAPI {
			config, roots := tlsConfig()
			return listenScript(t, config, roots, func(c net.Conn) {
				_, _ = c.Read(make([]byte, 1)) // the handshake
				<-t.Context().Done()
			})
		},
		"http2": func(t *testing.T) *mockAPI {
			return newUpstream(t, "http2", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		},
	}
	for name, upstreamOf := range stuck {
		t.Run(name, func(t *testing.T) {
			d := openDoor(t, upstreamOf(t), shortIdle)
			c := d.dial(t)
			go func() {
				_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")
				_, _ = io.CopyN(c, nulls{}, 50_000_000)
			}()
			response, body := c.response(t, http.MethodPost)
			if response.StatusCode != http.StatusGatewayTimeout || code(body) != "upstream_header_timeout" {
				t.Errorf("status %d, body %s", response.StatusCode, body)
			}
		})
	}
}

// nulls is a source without end.
type nulls struct{}

// Read implements io.Reader.
func (nulls) Read(p []byte) (int, error) { return len(p), nil }

// A client that reads nothing must not hold the upstream for ever.
func TestClientStopsReading(t *testing.T) {
	for _, protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			cancelled := make(chan struct{})
			up := newUpstream(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.Copy(w, nulls{})
				close(cancelled)
			})
			d := openDoor(t, up, shortIdle)
			for i, version := range []string{"1.1", "1.0"} {
				c := d.dial(t)
				c.send(t, "GET / HTTP/"+version+"\r\nHost: a\r\n\r\n")
				eventually(t, "it waits for the client", func() bool {
					all := d.InFlight()
					return len(all) == 1 && all[0].WaitsFor == "client"
				})
				receive(t, cancelled, "the end at the upstream")
				counts(t, d, `proxy_client_gone_total{phase="streaming"}`, float64(i+1)) // though nobody reads
				eventually(t, "the log says why", func() bool {
					return strings.Count(d.log.String(), `"error":"the client stopped reading: `) == i+1
				})
				_, err := io.Copy(io.Discard, c)
				if version == "1.0" && err == nil {
					t.Error("the client of HTTP/1.0 sees an end as if the response were whole")
				}
				cancelled = make(chan struct{})
			}
		})
	}
}

// net/http passes a slow chunk on only when it is whole. The upstream is not silent meanwhile.
func TestSlowChunkIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBubble(t, "http", nil, func(c net.Conn) {
			_, _ = readRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n")
			for range 8 {
				time.Sleep(45 * time.Second)
				_, _ = io.WriteString(c, "x")
			}
			_, _ = io.WriteString(c, "\r\n0\r\n\r\n")
		}, func(s *setup) { s.Proxy.IdleTimeout = time.Minute })
		c := &rawConn{b.door.dial(), nil}
		defer c.Close()
		c.in = bufio.NewReader(c)
		c.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if _, body := c.response(t, http.MethodGet); body != "xxxxxxxx" {
			t.Errorf("got %q", body)
		}
	})
}

// A client has all of the timeout to take a piece, and so has the upstream to send the next one,
// however long the other side took before.
func TestEachSideHasAllOfTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pieces, pause = 3, 50 * time.Second
		b := openBubble(t, "http", nil, func(c net.Conn) {
			_, _ = readRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range pieces {
				time.Sleep(pause)
				_, _ = io.WriteString(c, "1\r\nx\r\n")
				time.Sleep(pause) // of the client
			}
			_, _ = io.WriteString(c, "0\r\n\r\n")
		}, func(s *setup) { s.Proxy.IdleTimeout = time.Minute })
		c := b.door.dial()
		defer c.Close()
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		read := func(end string) {
			piece := make([]byte, 1<<10)
			if n, err := c.Read(piece); !strings.HasSuffix(string(piece[:n]), end) {
				t.Fatalf("got %q, %v, want an end of %q", piece[:n], err, end)
			}
		}
		read("\r\n\r\n")
		for range pieces {
			time.Sleep(2 * pause)
			read("1\r\nx\r\n")
		}
		read("0\r\n\r\n")
	})
}

// A stream that moves lasts as long as it likes, in both directions.
func TestSlowButMovingStreamGoesOn(t *testing.T) {
	const (
		pieces = 24
		pause  = 100 * time.Millisecond
		idle   = 10 * pause // a busy machine pauses too
	)
	forEachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_, _ = io.Copy(io.Discard, r.Body)
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for range pieces {
			<-tick.C
			_, _ = io.WriteString(w, "x")
			_ = rc.Flush()
		}
	}, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up, func(s *setup) { s.Proxy.IdleTimeout = idle })
		body, w := io.Pipe()
		go func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for range pieces {
				<-tick.C
				_, _ = io.WriteString(w, "x")
			}
			w.Close()
		}()
		response, text := do(t, newClient(t), request(t, http.MethodPost, d.url("/"), body))
		if response.StatusCode != http.StatusOK || text != strings.Repeat("x", pieces) {
			t.Errorf("status %d, body %s", response.StatusCode, text)
		}
	})
}

// A client that takes little at a time moves, though a write to it is blocked for longer than the
// timeout: the kernel lets that return only when it has much room.
func TestSlowClientIsNotAStuckOne(t *testing.T) {
	t.Parallel()
	d := openDoor(t, newUpstream(t, "http1", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.CopyN(w, nulls{}, 20<<20)
	}), func(s *setup) { s.Proxy.IdleTimeout = 2 * time.Second })
	c := d.dial(t)
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(128 << 10)
	c.send(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		<-tick.C
		if _, err := io.CopyN(io.Discard, c, 16<<10); err != nil {
			t.Fatal(err)
		}
	}
	if lines, _ := d.log.look(); len(lines) > 0 {
		t.Errorf("it was cut off: %s", lines[0])
	}
}
