package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/proxy"
)

// patience is how long a test waits for anything. A busy machine is slow.
const patience = time.Minute

// door is a proxy with its server on a loopback socket: what a client meets.
type door struct {
	*proxy.Proxy
	server   *inbound.Server
	addr     string
	reg      *prometheus.Registry
	log      *logLines
	settings proxy.Settings
	stop     func() // accepts no more
}

// setup is what a test changes before the door opens.
type setup struct {
	proxy.Config
	proxy.Settings
	listen func(testing.TB) net.Listener
	whoIs  whoIs                                                    // of its tailnet; nil: as it is
	owner  func(local, remote netip.AddrPort) (uint32, bool, error) // what the kernel says; nil: the truth
}

// openDoor serves in front of up until the test ends.
func openDoor(t testing.TB, up *mockAPI, change ...func(*setup)) *door {
	t.Helper()
	d := &door{reg: prometheus.NewRegistry(), log: &logLines{}}
	s := setup{
		Host: "host", Registerer: d.reg,
		Log:      slog.New(slog.NewJSONHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Settings: settingsFor(up),
		listen:   listenTCP,
	}
	for _, f := range change {
		f(&s)
	}
	d.Proxy, d.settings = s.proxy(t), s.Settings
	d.serve(t, s)
	return d
}

func (s *setup) proxy(t testing.TB) *proxy.Proxy {
	t.Helper()
	if s.whoIs != nil {
		asks(s.whoIs)(s)
	}
	p, err := proxy.New(s.Config, s.Settings)
	if err != nil {
		t.Fatal(err)
	}
	if s.owner != nil {
		proxy.SetSocketOwner(p, s.owner)
	}
	return p
}

func (d *door) serve(t testing.TB, s setup) {
	l := s.listen(t)
	d.addr = l.Addr().String()
	server := inbound.NewServer(d.Proxy, s.Log)
	d.server = server
	server.Resize(s.Proxy.MaxConnections+s.Proxy.QueueLimit, 1)
	var once sync.Once
	d.stop = func() { once.Do(server.CloseListeners) }
	server.Open("proxy", l, func(err error) { t.Errorf("listener failed: %v", err) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		d.stop()
		server.Cut(ctx)
		d.Close()
		_ = l.Close()
	})
}

func listenTCP(t testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// settingsFor lets everybody on this host in, and waits as long for anything as a test does.
func settingsFor(up *mockAPI) proxy.Settings {
	return proxy.Settings{
		Proxy: config.Proxy{
			UpstreamURL: up.url, UpstreamCAs: up.roots, ConnectTimeout: patience,
			ResponseHeaderTimeout: patience, IdleTimeout: patience,
			MaxConnections: 100, QueueLimit: 100, QueueTimeout: patience, MaxRequestBody: 512 << 20,
			Retry: config.Retry{Attempts: 3, Backoff: 10 * time.Millisecond, Memory: 64 << 20},
		},
		Access: config.Access{Allow: []config.Source{{Kind: config.Local}}},
	}
}

func (d *door) url(path string) string { return "http://" + d.addr + path }

// mockAPI is where a door leads.
type mockAPI struct {
	url    *url.URL
	roots  []byte
	client *http.Client // straight to it
}

// protocols are the ways in which an upstream can be spoken to.
func protocols() []string { return []string{"http1", "http2"} }

// forEachProtocol runs a test in front of an upstream of each protocol.
func forEachProtocol(t *testing.T, h http.HandlerFunc, test func(*testing.T, *mockAPI)) {
	for _, protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) { test(t, newUpstream(t, protocol, h)) })
	}
}

// newUpstream is a real server: without TLS over HTTP/1.1, or HTTP/2 over TLS.
func newUpstream(t testing.TB, protocol string, h http.HandlerFunc) *mockAPI {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Config.DisableGeneralOptionsHandler = true
	up := &mockAPI{}
	if protocol == "http2" {
		server.EnableHTTP2 = true
		server.StartTLS()
		up.roots = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	up.client = server.Client()
	up.url, _ = url.Parse(server.URL)
	return up
}

// scriptedUpstream hands each connection to script and closes it after that.
func scriptedUpstream(t testing.TB, script func(net.Conn, *bufio.Reader)) *mockAPI {
	l := listenTCP(t)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				stop := context.AfterFunc(t.Context(), func() { c.Close() })
				defer stop()
				script(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { l.Close(); work.Wait() })
	return &mockAPI{url: &url.URL{Scheme: "http", Host: l.Addr().String()}}
}

// newClient adds nothing to a request and follows no redirect.
func newClient(t testing.TB) *http.Client {
	tr := &http.Transport{DisableCompression: true, ExpectContinueTimeout: time.Minute}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// request makes one that ends with the test.
func request(t testing.TB, method, target string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// do sends r and reads the whole response.
func do(t testing.TB, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("reading the response: %v", err)
	}
	return response, string(body)
}

// rawConn is a client that writes bytes.
type rawConn struct {
	net.Conn
	in *bufio.Reader
}

func (d *door) dial(t testing.TB) *rawConn {
	t.Helper()
	return d.dialFrom(t, "127.0.0.1")
}

// dialFrom connects from another address of the loopback network.
func (d *door) dialFrom(t testing.TB, source string) *rawConn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: patience}
	c, err := dialer.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &rawConn{c, bufio.NewReader(c)}
}

func (c *rawConn) send(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// response reads the next one whole.
func (c *rawConn) response(t testing.TB, method string) (*http.Response, string) {
	t.Helper()
	r, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading a response: %v", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("reading the body of a response: %v", err)
	}
	return r, string(body)
}

// rest is all that comes until the connection ends.
func (c *rawConn) rest() string {
	all, _ := io.ReadAll(c.in)
	return string(all)
}

// logLines is a log in memory.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

// Write implements io.Writer.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.text.Write(p)
}

// requests are the lines about requests; it waits until there are n.
func (l *logLines) requests(t testing.TB, n int) []string {
	t.Helper()
	for {
		lines, more := l.look()
		if len(lines) >= n {
			return lines
		}
		select {
		case <-more:
		case <-time.After(patience):
			t.Fatalf("%d lines about requests in the log, want %d", len(lines), n)
		}
	}
}

func (l *logLines) look() (lines []string, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, `"outcome":`) {
			lines = append(lines, line)
		}
	}
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return lines, l.more
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// receive gives what c brings, soon.
func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited too long for %s", what)
		panic("unreachable")
	}
}
