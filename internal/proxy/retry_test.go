package proxy_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"oauth-proxyd/internal/proxy"
)

// refusedAddr is an address at which nobody listens.
func refusedUpstream(t *testing.T) *mockAPI {
	up := listenScript(t, nil, nil, func(net.Conn) {})
	l := listenTCP(t)
	up.url.Host = l.Addr().String()
	l.Close()
	return up
}

func TestRefusedDialIsRepeated(t *testing.T) {
	d := openDoor(t, refusedUpstream(t), func(s *setup) { s.Proxy.Retry.Backoff = 50 * time.Millisecond })
	start := time.Now()
	response, body := do(t, newClient(t), post(t, d, "hello"))
	if response.StatusCode != http.StatusBadGateway || code(body) != "upstream_connect" {
		t.Errorf("status %d, body %s", response.StatusCode, body)
	}
	if took := time.Since(start); took < 100*time.Millisecond {
		t.Errorf("three attempts 50 ms apart took %v", took)
	}
	if n := metric(t, d.reg, `proxy_retries_total{reason="connect"}`); n != 2 {
		t.Errorf("%v retries counted, want 2", n)
	}
	if line := d.log.requests(t, 1)[0]; !strings.Contains(line, `"attempts":3`) {
		t.Errorf("log: %s", line)
	}
}

func TestFailedHandshakeIsRepeated(t *testing.T) {
	for failures, want := range []int{200, 200, 200, 502} {
		t.Run(fmt.Sprintf("%d failures", failures), func(t *testing.T) {
			config, roots := tlsConfig()
			var conns atomic.Int64
			up := listenScript(t, nil, nil, func(c net.Conn) {
				if int(conns.Add(1)) > failures {
					sayAgain(tls.Server(c, config))
				}
			})
			up.url.Scheme, up.roots = "https", roots
			d := openDoor(t, up)
			response, body := do(t, newClient(t), post(t, d, "hello"))
			if response.StatusCode != want {
				t.Errorf("status %d, body %s", response.StatusCode, body)
			}
			counts(t, d, `proxy_retries_total{reason="connect"}`, float64(min(failures, 2)))
		})
	}
}

func TestDialsStopWhenConnectionsClose(t *testing.T) {
	var dials atomic.Int64
	config, roots := tlsConfig()
	config.NextProtos = []string{"h2"}
	up := listenScript(t, config, roots, func(c net.Conn) {
		dials.Add(1)
		_, _ = c.Read(make([]byte, 1)) // the handshake, and no response to the preface
	})
	d := openDoor(t, up)
	response, body := do(t, newClient(t), post(t, d, "hello"))
	if response.StatusCode != http.StatusBadGateway {
		t.Errorf("status %d, body %s", response.StatusCode, body)
	}
	// An attempt takes another connection if it sees that the first has ended before it was used.
	if n := dials.Load(); n > 2*3 {
		t.Errorf("%d connections for 3 attempts", n)
	}
}

// A request that the upstream provably never processed is sent again, with its body.
func TestRetryOfUnprocessed(t *testing.T) {
	scripts := map[string]func(c *frameConn, conn int64){
		"refused stream at once": func(c *frameConn, _ int64) {
			_ = c.WriteRSTStream(c.request(), http2.ErrCodeRefusedStream)
			c.ok(c.wholeRequest(), "done")
			c.untilEnd()
		},
		"refused stream after the body": func(c *frameConn, _ int64) {
			_ = c.WriteRSTStream(c.wholeRequest(), http2.ErrCodeRefusedStream)
			c.ok(c.wholeRequest(), "done")
			c.untilEnd()
		},
		"graceful GOAWAY below": func(c *frameConn, conn int64) {
			if conn == 1 {
				c.wholeRequest()
				_ = c.WriteGoAway(0, http2.ErrCodeNo, nil)
			} else {
				c.ok(c.wholeRequest(), "done")
			}
			c.untilEnd()
		},
		"GOAWAY with an error below": func(c *frameConn, conn int64) {
			if conn == 1 {
				c.wholeRequest()
				_ = c.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
			} else {
				c.ok(c.wholeRequest(), "done")
			}
			c.untilEnd()
		},
	}
	for name, script := range scripts {
		for _, size := range []int{0, 1, 40_000, 200_000} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, size), func(t *testing.T) {
				var conns atomic.Int64
				up := framedUpstream(t, func(c *frameConn) {
					// Room for all of the body at any time.
					_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
					_ = c.WriteWindowUpdate(0, 1<<20)
					script(c, conns.Add(1))
				})
				d := openDoor(t, up)
				response, body := do(t, newClient(t), post(t, d, strings.Repeat("x", size)))
				if response.StatusCode != http.StatusOK || body != "done" {
					t.Errorf("status %d, body %s", response.StatusCode, body)
				}
				if n := metric(t, d.reg, `proxy_retries_total{reason="not_processed"}`); n != 1 {
					t.Errorf("%v retries counted, want 1", n)
				}
			})
		}
	}
}

func TestRefusedStreamRepeats(t *testing.T) {
	var streams atomic.Int64
	up := framedUpstream(t, func(c *frameConn) {
		for stream := c.request(); stream != 0; stream = c.request() {
			streams.Add(1)
			_ = c.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		}
	})
	d := openDoor(t, up)
	response, body := do(t, newClient(t), post(t, d, "hello"))
	if response.StatusCode != http.StatusBadGateway || code(body) != "upstream_protocol" {
		t.Errorf("status %d, body %s", response.StatusCode, body)
	}
	if n := streams.Load(); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
}

// A body that is not kept is sent once, whatever happens.
func TestNoRetryPastMemory(t *testing.T) {
	var streams atomic.Int64
	up := framedUpstream(t, func(c *frameConn) {
		_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		_ = c.WriteWindowUpdate(0, 1<<20)
		for stream := c.wholeRequest(); stream != 0; stream = c.wholeRequest() {
			streams.Add(1)
			_ = c.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		}
	})
	d := openDoor(t, up, func(s *setup) { s.Proxy.Retry.Memory = 64 << 10 })
	response, body := do(t, newClient(t), post(t, d, strings.Repeat("x", 200_000)))
	if response.StatusCode != http.StatusBadGateway || code(body) != "upstream_protocol" {
		t.Errorf("status %d, body %s", response.StatusCode, body)
	}
	if n := streams.Load(); n != 1 {
		t.Errorf("%d attempts, want 1", n)
	}
}

// nonRepeatable is every way in which a POST's fate is left unknown. Each is tried with what makes
// net/http repeat requests on its own: an empty body, GetBody, an Idempotency-Key.
func TestNoRepeatOfUnknownFateHTTP2(t *testing.T) {
	var processed atomic.Int64
	ends := map[string]func(*frameConn, uint32){
		"connection closed":   func(_ *frameConn, _ uint32) {},
		"connection reset":    func(c *frameConn, _ uint32) { resetConn(c.Conn) },
		"GOAWAY at":           func(c *frameConn, stream uint32) { _ = c.WriteGoAway(stream, http2.ErrCodeNo, nil) },
		"GOAWAY above":        func(c *frameConn, _ uint32) { _ = c.WriteGoAway(1<<31-1, http2.ErrCodeInternal, nil) },
		"DATA before HEADERS": func(c *frameConn, stream uint32) { _ = c.WriteData(stream, true, []byte("x")) },
		"garbage":             func(c *frameConn, _ uint32) { _, _ = c.Conn.Write([]byte(strings.Repeat("HTTP/1.1 ", 100))) },
		"only 103": func(c *frameConn, stream uint32) {
			c.response(stream, false, "103", "link", "</a>")
			_ = c.WriteRSTStream(stream, http2.ErrCodeInternal)
		},
	}
	for errCode := http2.ErrCodeNo; errCode <= http2.ErrCodeHTTP11Required; errCode++ {
		if errCode != http2.ErrCodeRefusedStream {
			ends["RST_STREAM "+errCode.String()] = func(c *frameConn, stream uint32) {
				_ = c.WriteRSTStream(stream, errCode)
				for stream = c.wholeRequest(); stream != 0; stream = c.wholeRequest() {
					processed.Add(1)
					_ = c.WriteRSTStream(stream, errCode)
				}
			}
		}
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			up := framedUpstream(t, func(c *frameConn) {
				if stream := c.wholeRequest(); stream != 0 {
					processed.Add(1)
					end(c, stream)
				}
			})
			testSentOnce(t, up, &processed)
		})
	}
}

func resetConn(c net.Conn) {
	if wrapped, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = wrapped.NetConn()
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// testSentOnce sends requests of all kinds that could tempt to send one twice.
func testSentOnce(t *testing.T, up *mockAPI, processed *atomic.Int64) {
	t.Helper()
	d := openDoor(t, up)
	c := newClient(t)
	for _, body := range []string{"", "hello"} {
		for _, key := range []string{"", "one"} {
			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodGet} {
				before := processed.Load()
				r := request(t, method, d.url("/v1/messages"), strings.NewReader(body))
				if key != "" {
					r.Header.Set("Idempotency-Key", key)
				}
				response, text := do(t, c, r)
				if response.StatusCode != http.StatusBadGateway || code(text) != "upstream_protocol" {
					t.Errorf("%s %q: status %d, body %s", method, body, response.StatusCode, text)
				}
				// A request on a connection that was ending may be retried: nobody got it.
				if n := processed.Load() - before; n > 1 {
					t.Errorf("%s %q, key %q: the upstream got it %d times", method, body, key, n)
				}
			}
		}
	}
}

func TestNoRepeatOfUnknownFateHTTP1(t *testing.T) {
	ends := map[string]func(net.Conn){
		"closed":          func(net.Conn) {},
		"reset":           resetConn,
		"garbage":         func(c net.Conn) { _, _ = io.WriteString(c, "what?\r\n\r\n") },
		"cut status line": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 20") },
		"cut header":      func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: b\r\n") },
		"two lengths": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx")
		},
		"unknown coding": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: odd\r\n\r\nxx") },
		"only 103":       func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") },
		"switching protocols": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			var processed atomic.Int64
			up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
				if r, _ := readRequest(in); r != nil {
					processed.Add(1)
					end(c)
				}
			})
			testSentOnce(t, up, &processed)
		})
	}
}

// A kept connection that dies when it is used again is where net/http repeats.
func TestNoRepeatOnKeptConnection(t *testing.T) {
	var processed atomic.Int64
	up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		for first := true; ; first = false {
			if r, _ := readRequest(in); r == nil {
				return
			}
			processed.Add(1)
			if !first {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	d := openDoor(t, up)
	c := newClient(t)
	for i := range 10 {
		response, body := do(t, c, post(t, d, ""))
		if want := []int{http.StatusOK, http.StatusBadGateway}[i%2]; response.StatusCode != want {
			t.Errorf("request %d: status %d, want %d: %s", i, response.StatusCode, want, body)
		}
	}
	if n := processed.Load(); n != 10 {
		t.Errorf("the upstream got 10 requests %d times", n)
	}
}

// A connection that the upstream closed while nobody used it costs nobody a request.
func TestConnectionClosedWhileIdle(t *testing.T) {
	left := make(chan struct{}, 100)
	up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		if r, _ := readRequest(in); r != nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, in) // until the proxy has seen that and closed its side
		left <- struct{}{}
	})
	d := openDoor(t, up)
	c := newClient(t)
	for i := range 20 {
		response, body := do(t, c, post(t, d, "hello"))
		if response.StatusCode != http.StatusOK {
			t.Errorf("request %d: status %d, body %s", i, response.StatusCode, body)
		}
		receive(t, left, "the end of the connection")
	}
}

// A body that was kept for another attempt is freed when the response begins.
func TestBodyForgottenWithResponse(t *testing.T) {
	forEachProtocol(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up)
		response, err := newClient(t).Do(post(t, d, strings.Repeat("x", 300_000)))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		eventually(t, "no more than the last piece is kept", func() bool { return proxy.MemoryUsed(d.Proxy) <= 32<<10 })
	})
}
