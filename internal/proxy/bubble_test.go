package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/proxy"
)

// The tests of this file have a clock of their own: what takes minutes there takes none here. So
// their network is in memory, as no kernel knows that clock.

// pipes is a listener in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// sender is the end of a pipe to which a write does not wait for the other's read, as over a
// socket.
type sender struct {
	net.Conn
	queue chan []byte
	work  sync.WaitGroup
	once  sync.Once
}

func newSender(c net.Conn) *sender {
	s := &sender{Conn: c, queue: make(chan []byte, 1000)}
	s.work.Go(func() {
		for p := range s.queue {
			_, _ = c.Write(p)
		}
		_ = c.Close()
	})
	return s
}

func (s *sender) Write(p []byte) (int, error) {
	s.queue <- slices.Clone(p)
	return len(p), nil
}

func (s *sender) Close() error {
	s.once.Do(func() { close(s.queue) })
	s.work.Wait()
	return nil
}

// bubble is a proxy whose clients and upstream are in memory.
type bubble struct {
	*proxy.Proxy
	server *inbound.Server
	door   *pipes
	log    *logLines
}

// openBubble has each connection to an upstream of this scheme served by script.
func openBubble(t *testing.T, scheme string, roots []byte, script func(net.Conn), change ...func(*setup)) *bubble {
	b := &bubble{door: newPipes(), log: &logLines{}}
	s := setup{
		Host: "host", Registerer: prometheus.NewRegistry(), Log: slog.New(slog.NewJSONHandler(b.log, nil)),
		Settings: settingsFor(&mockAPI{
			url: &url.URL{Scheme: scheme, Host: "127.0.0.1:1"}, roots: roots,
		}),
	}
	s.Proxy.ResponseHeaderTimeout, s.Proxy.IdleTimeout = time.Hour, time.Hour
	for _, f := range change {
		f(&s)
	}
	s.Upstream.Dial = func(context.Context, string) (net.Conn, error) {
		client, end := net.Pipe()
		server := newSender(end)
		go func() {
			defer server.Close()
			script(server)
		}()
		return client, nil
	}
	b.Proxy = s.proxy(t)
	server := inbound.NewServer(b.Proxy, s.Log)
	b.server = server
	server.Resize(s.Proxy.MaxConnections+s.Proxy.QueueLimit, 1)
	server.Open("proxy", b.door, func(err error) { t.Errorf("listener failed: %v", err) })
	t.Cleanup(func() {
		server.CloseListeners()
		server.Cut(context.Background())
		b.Proxy.Close()
	})
	return b
}

// forEachBubble runs a test in a bubble in front of an upstream of each protocol that h plays.
func forEachBubble(t *testing.T, h http.HandlerFunc, test func(*testing.T, *bubble), change ...func(*setup)) {
	config, roots := tlsConfig()
	config.NextProtos = []string{"h2"}
	for scheme, script := range map[string]func(net.Conn){
		"http": func(c net.Conn) { serves(c, h) }, "https": func(c net.Conn) { serves(tls.Server(c, config), h) },
	} {
		t.Run(scheme, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(func() { time.Sleep(time.Second) }) // net/http lingers on a connection that it closes
				test(t, openBubble(t, scheme, roots, script, change...))
			})
		})
	}
}

// serves has net/http serve a connection until it ends.
func serves(c net.Conn, h http.Handler) {
	l := newPipes()
	server := http.Server{Handler: h, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			l.Close()
		}
	}}
	go func() { l.conns <- c }()
	_ = server.Serve(l)
}

// lasts is how long a connection with only text sent stays open.
func (b *bubble) lasts(t *testing.T, text string) time.Duration {
	t.Helper()
	c := b.door.dial()
	defer c.Close()
	start := time.Now()
	go func() { _, _ = io.WriteString(c, text) }()
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Error(err)
	}
	return time.Since(start)
}

// sayAgain responses every request of HTTP/1.1.
func sayAgain(c net.Conn) {
	in := bufio.NewReader(c)
	for r, _ := readRequest(in); r != nil; r, _ = readRequest(in) {
		_, _ = io.WriteString(c, wholeResponse)
	}
}

// What ends within a header does not count as a request: nothing logs it.
func TestClientsThatFallSilentAreLeft(t *testing.T) {
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	cases := []struct {
		name, text string
		want       time.Duration
		requests   int
	}{
		{"no byte", "", 10 * time.Second, 0},
		{"half a request line", "GET / HT", 10 * time.Second, 0},
		{"half a name", "GET / HTTP/1.1\r\nHost: h\r\nX-", 10 * time.Second, 0},
		{"half a header", "GET / HTTP/1.1\r\nHost: h\r\nX-A: b", 10 * time.Second, 0},
		{"half a preface", "PRI * HTTP/2", 10 * time.Second, 0},
		{"half a TLS record", "\x16\x03\x01", 10 * time.Second, 0},
		{"kept after a request", smuggled, 2 * time.Minute, 1},
		{"half a second request line", smuggled + "GET / HT", 10 * time.Second, 1},
		{"HTTP/2 without TLS", http2.ClientPreface + settings, 500 * time.Millisecond, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := openBubble(t, "http", nil, sayAgain)
				if got := b.lasts(t, c.text); got < c.want || got > c.want+time.Second {
					t.Errorf("left after %v, want %v", got, c.want)
				}
				if lines := b.lines(); len(lines) != c.requests {
					t.Errorf("logged %q, want %d requests", lines, c.requests)
				}
			})
		})
	}
}

// oneRequest sends a request on a connection of its own and gives the response.
func (b *bubble) oneRequest(t *testing.T) (response *http.Response, body string) {
	t.Helper()
	c := &rawConn{Conn: b.door.dial()}
	defer c.Close()
	c.in = bufio.NewReader(c)
	c.send(t, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	return c.response(t, http.MethodGet)
}

// An upstream that is gone without a word is known by its missing response to a ping, long before a
// timeout.
func TestDeadConnectionOfHTTP2IsFound(t *testing.T) {
	config, roots := tlsConfig()
	config.NextProtos = []string{"h2"}
	synctest.Test(t, func(t *testing.T) {
		b := openBubble(t, "https", roots, func(nc net.Conn) {
			c := newFrameConn(tls.Server(nc, config))
			_, _ = io.ReadFull(c.Conn, make([]byte, len(http2.ClientPreface)))
			_ = c.WriteSettings()
			c.wholeRequest()
			_, _ = io.Copy(io.Discard, c.Conn) // no response, not to a ping either
		})
		start := time.Now()
		response, body := b.oneRequest(t)
		ours(t, response, body, 502, "upstream_protocol", "http_protocol_error")
		if took := time.Since(start); took > 31*time.Second {
			t.Errorf("found after %v", took)
		}
	})
}

func TestIdleUpstreamConnectionsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var open time.Duration
		b := openBubble(t, "http", nil, func(c net.Conn) {
			sayAgain(c)
			open = time.Since(start)
		})
		b.oneRequest(t)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if open < 90*time.Second || open > 121*time.Second {
			t.Errorf("closed after %v", open)
		}
	})
}

// The identity of a connection is kept for a minute.
func TestIdentityCacheLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		b := openBubble(t, "http", nil, sayAgain, func(s *setup) {
			s.Access.Allow = []config.Source{{Kind: config.Tailnet}}
			s.whoIs = knowsAfter(&asked)
		})
		c := b.from(t, peerAddr)
		for i, want := range []int{503, 200, 200, 200} {
			c.send(t, smuggled)
			response, body := c.response(t, http.MethodGet)
			if response.StatusCode != want {
				t.Errorf("request %d: status %d, %s", i, response.StatusCode, body)
			}
			time.Sleep(35 * time.Second)
			if response.Close {
				c = b.from(t, peerAddr)
			}
		}
		if n := asked.Load(); n != 3 {
			t.Errorf("asked %d times, want once for the error, once, and once a minute later", n)
		}
	})
}

// Nobody waits longer for tailscaled to say who asks.
func TestWhoIsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBubble(t, "http", nil, sayAgain, func(s *setup) {
			s.whoIs = func(ctx context.Context, _ netip.AddrPort) (access.Identity, bool, error) {
				<-ctx.Done()
				return access.Identity{}, false, ctx.Err()
			}
		})
		c, start := b.from(t, peerAddr), time.Now()
		c.send(t, smuggled)
		response, body := c.response(t, http.MethodGet)
		ours(t, response, body, 503, "tailnet_unavailable", "proxy_internal_error")
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// from is a client that claims this address.
func (b *bubble) from(t *testing.T, address string) *rawConn {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	b.door.conns <- pipeFrom{server, address}
	return &rawConn{client, bufio.NewReader(client)}
}

// pipeFrom claims to go from an address to this host's on the tailnet.
type pipeFrom struct {
	net.Conn
	address string
}

func (p pipeFrom) RemoteAddr() net.Addr { return claimed(p.address) }
func (pipeFrom) LocalAddr() net.Addr    { return claimed(hostAddr) }

// knowsAfter fails the first time.
func knowsAfter(asked *atomic.Int64) whoIs {
	return func(context.Context, netip.AddrPort) (access.Identity, bool, error) {
		if asked.Add(1) == 1 {
			return access.Identity{}, false, errors.New("not now")
		}
		return knownPeer(), true, nil
	}
}

// Attempts are as far apart as the settings say.
func TestAttemptsAreApart(t *testing.T) {
	config, roots := tlsConfig()
	config.NextProtos = []string{"h2"}
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		b := openBubble(t, "https", roots, func(nc net.Conn) {
			c := newFrameConn(tls.Server(nc, config))
			_, _ = io.ReadFull(c.Conn, make([]byte, len(http2.ClientPreface)))
			_ = c.WriteSettings()
			for stream := c.wholeRequest(); stream != 0; stream = c.wholeRequest() {
				at = append(at, time.Since(start))
				_ = c.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
			}
		}, func(s *setup) { s.Proxy.Retry.Backoff = 100 * time.Millisecond })
		b.oneRequest(t)
		if len(at) != 3 || at[1]-at[0] != 100*time.Millisecond || at[2]-at[1] != 100*time.Millisecond {
			t.Errorf("attempts after %v", at)
		}
	})
}
