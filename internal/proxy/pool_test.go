package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// countingUpstream counts the connections to a real server.
func countingUpstream(t *testing.T, protocol string, h http.HandlerFunc) (*mockAPI, *atomic.Int64) {
	up := newUpstream(t, protocol, h)
	address := up.url.Host
	var conns atomic.Int64
	front := listenScript(t, nil, nil, func(c net.Conn) {
		conns.Add(1)
		back, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		var work sync.WaitGroup
		work.Go(func() { _, _ = io.Copy(back, c); back.Close() })
		_, _ = io.Copy(c, back)
		c.Close()
		work.Wait()
	})
	up.url.Host = front.url.Host
	return up, &conns
}

func sayOK(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, "ok")
}

func TestUpstreamConnectionIsReused(t *testing.T) {
	for _, protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			up, conns := countingUpstream(t, protocol, sayOK)
			d := openDoor(t, up)
			c := newClient(t)
			for i := range 50 {
				if response, body := do(t, c, post(t, d, "hello")); response.StatusCode != http.StatusOK {
					t.Fatalf("request %d: status %d, body %s", i, response.StatusCode, body)
				}
			}
			if n := conns.Load(); n != 1 {
				t.Errorf("%d connections for 50 requests one after the other", n)
			}
		})
	}
}

// Many requests at once, before there is any connection, share as few as can carry them. (In a
// bubble, because a server that is slow to say how many requests it takes gets more connections.)
func TestColdBurstSharesFewConnections(t *testing.T) {
	const burst, perConnection = 300, 240
	config, roots := tlsConfig()
	config.NextProtos = []string{"h2"}
	synctest.Test(t, func(t *testing.T) {
		var arrived, conns atomic.Int64
		all := make(chan struct{})
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if arrived.Add(1) == burst {
				close(all)
			}
			<-all // none is responded before all are there
			sayOK(w, r)
		})
		b := openBubble(t, "https", roots, func(c net.Conn) {
			conns.Add(1)
			serves(tls.Server(c, config), h)
		}, func(s *setup) { s.Proxy.MaxConnections = burst })
		var work sync.WaitGroup
		for i := range burst {
			work.Go(func() {
				c := b.from(t, fmt.Sprintf("127.0.0.1:%d", 1000+i))
				c.send(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
				if response, _ := c.response(t, http.MethodPost); response.StatusCode != http.StatusOK {
					t.Errorf("status %d", response.StatusCode)
				}
			})
		}
		work.Wait()
		if n := conns.Load(); n > 1+burst/perConnection {
			t.Errorf("%d connections for %d requests at once", n, burst)
		}
	})
}

// Over HTTP/1.1 there is one for each request that may be in flight, and no more.
func TestUpstreamConnectionBound(t *testing.T) {
	up, conns := countingUpstream(t, "http1", sayOK)
	d := openDoor(t, up, func(s *setup) { s.Proxy.MaxConnections = 3 })
	c := newClient(t)
	var work sync.WaitGroup
	for range 60 {
		work.Go(func() {
			response, err := c.Do(post(t, d, "hello"))
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
		})
	}
	work.Wait()
	if n := conns.Load(); n > 3 {
		t.Errorf("%d connections for 3 requests at a time", n)
	}
}

// A failed dial is reported to all requests that waited for it.
func TestFailedDialEndsAllWaits(t *testing.T) {
	var dials atomic.Int64
	gate := make(chan struct{})
	up := listenScript(t, nil, nil, func(net.Conn) { dials.Add(1); <-gate })
	up.url.Scheme = "https" // its handshake fails
	d := openDoor(t, up, func(s *setup) { s.Proxy.Retry.Attempts = 1 })
	c := newClient(t)
	var work sync.WaitGroup
	for range 20 {
		work.Go(func() {
			response, err := c.Do(post(t, d, "hello"))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != http.StatusBadGateway || code(string(body)) != "upstream_connect" {
				t.Errorf("status %d, body %s", response.StatusCode, body)
			}
		})
	}
	eventually(t, "all wait", func() bool { return d.Stats().InFlight == 20 })
	close(gate)
	work.Wait()
	if n := dials.Load(); n > 4 {
		t.Errorf("%d dials", n)
	}
}

// A GOAWAY lets what is under way finish and sends the next request elsewhere.
func TestGoAwayLetsStreamsFinish(t *testing.T) {
	var conns atomic.Int64
	finish := make(chan struct{})
	up := framedUpstream(t, func(c *frameConn) {
		if conns.Add(1) > 1 {
			c.ok(c.wholeRequest(), "second")
			c.untilEnd()
			return
		}
		stream := c.wholeRequest()
		c.response(stream, false, "200")
		_ = c.WriteData(stream, false, []byte("first"))
		_ = c.WriteGoAway(stream, http2.ErrCodeNo, nil)
		<-finish
		_ = c.WriteData(stream, true, []byte(", to its end"))
		c.untilEnd()
	})
	d := openDoor(t, up)
	c := newClient(t)
	first, err := c.Do(post(t, d, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Body.Close()
	_, _ = io.ReadFull(first.Body, make([]byte, 5))
	if _, body := do(t, c, post(t, d, "hello")); body != "second" {
		t.Errorf("the second request's response is %q", body)
	}
	close(finish)
	if rest, err := io.ReadAll(first.Body); err != nil || string(rest) != ", to its end" {
		t.Errorf("the first response goes on with %q, %v", rest, err)
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// A stream goes on while another upstream takes over.
func TestOldUpstreamFinishesStreams(t *testing.T) {
	next := newUpstream(t, "http1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "new") })
	for _, protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			finish := make(chan struct{})
			up := newUpstream(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "old")
				_ = http.NewResponseController(w).Flush()
				<-finish
				_, _ = io.WriteString(w, ", to its end")
			})
			d := openDoor(t, up)
			c := newClient(t)
			first, err := c.Do(post(t, d, "hello"))
			if err != nil {
				t.Fatal(err)
			}
			defer first.Body.Close()
			_, _ = io.ReadFull(first.Body, make([]byte, 3))
			s := d.settings
			s.Proxy = settingsFor(next).Proxy
			apply, err := d.Prepare(s)
			if err != nil {
				t.Fatal(err)
			}
			apply()
			if _, body := do(t, c, post(t, d, "hello")); body != "new" {
				t.Errorf("after the change the response is %q", body)
			}
			close(finish)
			if rest, err := io.ReadAll(first.Body); err != nil || string(rest) != ", to its end" {
				t.Errorf("the first response goes on with %q, %v", rest, err)
			}
		})
	}
}

// A connection of an upstream that was replaced is closed with its last stream.
func TestOldUpstreamCloses(t *testing.T) {
	ended := make(chan struct{})
	up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		for {
			if r, _ := readRequest(in); r == nil {
				close(ended)
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	d := openDoor(t, up)
	c := newClient(t)
	do(t, c, post(t, d, ""))
	s := d.settings
	s.Proxy.ConnectTimeout++
	apply, err := d.Prepare(s)
	if err != nil {
		t.Fatal(err)
	}
	apply()
	receive(t, ended, "the end of the old connection")
}

// A proxy between us and the upstream gets a CONNECT and nothing else.
func TestConnectsThroughAProxy(t *testing.T) {
	up := newUpstream(t, "http2", sayOK)
	asked := make(chan string, 10)
	between := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		asked <- fmt.Sprint(r.Method, " ", r.Host, " ", r.Header.Get("User-Agent") != "")
		back, err := net.Dial("tcp", up.url.Host)
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
		var work sync.WaitGroup
		work.Go(func() { _, _ = io.Copy(back, in); back.Close() })
		_, _ = io.Copy(c, back)
		c.Close()
		work.Wait()
	})
	d := openDoor(t, up, func(s *setup) { s.Proxy.UpstreamProxies = []*url.URL{between.url} })
	if response, body := do(t, newClient(t), post(t, d, "x")); response.StatusCode != http.StatusOK {
		t.Errorf("status %d, body %s", response.StatusCode, body)
	}
	if got := receive(t, asked, "the proxy's request"); got[:len("CONNECT "+up.url.Host)] != "CONNECT "+up.url.Host {
		t.Errorf("the proxy was asked %q", got)
	}
}

func TestTLSIsAtLeast12(t *testing.T) {
	for version, status := range map[uint16]int{
		tls.VersionTLS11: http.StatusBadGateway, tls.VersionTLS12: http.StatusOK, tls.VersionTLS13: http.StatusOK,
	} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			config, roots := tlsConfig()
			config.MinVersion, config.MaxVersion = version, version
			up := listenScript(t, config, roots, func(c net.Conn) {
				if r, _ := readRequest(bufio.NewReader(c)); r != nil {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			})
			d := openDoor(t, up)
			if response, body := do(t, newClient(t), post(t, d, "x")); response.StatusCode != status {
				t.Errorf("status %d, body %s", response.StatusCode, body)
			}
		})
	}
}

func TestDialTimesOut(t *testing.T) {
	cases := map[string]func(*testing.T) *mockAPI{
		"no handshake": func(t *testing.T) *mockAPI {
			_, roots := tlsConfig()
			up := listenScript(t, nil, roots, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
			up.url.Scheme = "https"
			return up
		},
		"no response of the proxy's": func(t *testing.T) *mockAPI {
			return listenScript(t, &tls.Config{}, nil, func(net.Conn) {})
		},
		"full backlog": fullBacklog,
	}
	for name, upstreamOf := range cases {
		t.Run(name, func(t *testing.T) {
			up := upstreamOf(t)
			silent := listenScript(t, nil, nil, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
			d := openDoor(t, up, func(s *setup) {
				s.Proxy.ConnectTimeout = short
				if name == "no response of the proxy's" {
					s.Proxy.UpstreamProxies = []*url.URL{silent.url}
				}
			})
			response, body := do(t, newClient(t), post(t, d, "hello"))
			if response.StatusCode != http.StatusGatewayTimeout || code(body) != "upstream_connect_timeout" {
				t.Errorf("status %d, body %s", response.StatusCode, body)
			}
			counts(t, d, `proxy_upstream_errors_total{error_type="timeout"}`, 1)
		})
	}
}

// connect_timeout is also for a server of the DNS that says nothing.
func TestNameIsNotWaitedForLonger(t *testing.T) {
	d := openDoor(t, &mockAPI{url: &url.URL{Scheme: "https", Host: "upstream.example"}}, func(s *setup) {
		s.Proxy.ConnectTimeout = short
		s.Upstream.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			<-t.Context().Done()
			return nil, t.Context().Err()
		}}
	})
	response, body := do(t, newClient(t), post(t, d, "hello"))
	if response.StatusCode != http.StatusGatewayTimeout || code(body) != "upstream_connect_timeout" {
		t.Errorf("status %d, body %s", response.StatusCode, body)
	}
}

// fullBacklog is an address that responses no connection: the kernel's queue is full.
func fullBacklog(t *testing.T) *mockAPI {
	l := smallBacklog(t)
	var d net.Dialer
	for full := false; !full; {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		cancel()
		if full = err != nil; !full {
			t.Cleanup(func() { c.Close() })
		}
	}
	up := listenScript(t, nil, nil, func(net.Conn) {})
	up.url.Host = l.Addr().String()
	return up
}

// smallBacklog is a listener whose kernel queue holds one connection.
func smallBacklog(t *testing.T) net.Listener {
	l := listenTCP(t)
	t.Cleanup(func() { l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }); err != nil {
		t.Fatal(err)
	}
	return l
}
