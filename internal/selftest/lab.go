package selftest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/fakeupstream"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/proxy"
)

const (
	// shortestTimeout is the least that a probe is held to.
	shortestTimeout = time.Second
	// closeTime bounds the end of a lab.
	closeTime = time.Second
	// maxEvents is more than the events of a response.
	maxEvents = 1000
)

// lab is the real proxy between one client and a mock of the API, all on loopback.
type lab struct {
	api       *fakeupstream.Server
	read      chan struct{} // an element for each event that the client has read
	proxy     *proxy.Proxy
	server    *inbound.Server
	listener  net.Listener
	transport *http.Transport // the client's

	mu       sync.Mutex
	received []fakeupstream.Request // by the API
}

func openLab(c Config, listener string) (*lab, error) {
	l := &lab{
		read:      make(chan struct{}, maxEvents),
		transport: &http.Transport{DisableCompression: true}, // it sends no header of its own
	}
	var err error
	l.api, err = fakeupstream.Start(l.pace(fakeupstream.Handler(fakeupstream.Config{RequireOAuthBeta: true, Observe: l.observe})))
	if err != nil {
		return nil, fmt.Errorf("starting the mock API: %w", err)
	}
	if err := l.openProxy(c, listener); err != nil {
		_ = l.api.Close() // it served nobody
		return nil, err
	}
	return l, nil
}

// openProxy puts the proxy in front of the API, as serve does.
func (l *lab) openProxy(c Config, name string) error {
	target, err := url.Parse(l.api.URL())
	if err != nil {
		return fmt.Errorf("reading the address of the mock API: %w", err)
	}
	log := slog.New(slog.DiscardHandler)
	settings := onLoopback(*c.Settings, target)
	l.proxy, err = proxy.New(proxy.Config{Host: "selftest", Log: log, Registerer: prometheus.NewRegistry()}, settings)
	if err != nil {
		return fmt.Errorf("making the proxy: %w", err)
	}
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("listening on loopback: %w", err)
	}
	handler := http.Handler(l.proxy)
	if c.around != nil {
		handler = c.around(handler)
	}
	l.server = inbound.NewServer(handler, log)
	l.server.Resize(settings.Proxy.MaxConnections + settings.Proxy.QueueLimit)
	l.server.Open(name, l.listener, func(error) {}) // the client's connection fails too, and is reported
	return nil
}

// onLoopback is c with the mock API as upstream, and open to this host.
func onLoopback(c config.Config, target *url.URL) proxy.Settings {
	p := &c.Proxy
	p.UpstreamURL, p.UpstreamCAs, p.UpstreamProxies = target, nil, nil
	for _, timeout := range []*time.Duration{&p.ConnectTimeout, &p.ResponseHeaderTimeout, &p.IdleTimeout, &p.QueueTimeout} {
		*timeout = max(*timeout, shortestTimeout)
	}
	c.Access = config.Access{Allow: []config.Source{{Kind: config.Local}}}
	return proxy.Settings{Config: c}
}

// close ends everything, what hangs included.
func (l *lab) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	l.transport.CloseIdleConnections()
	l.server.CloseListeners()
	l.server.Cut(ctx)
	_ = l.listener.Close() // nothing is asked of it any more
	_ = l.api.Close()      // likewise
	l.proxy.Close()
}

func (l *lab) observe(r fakeupstream.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.received = append(l.received, r)
}

// pace makes the API wait before each event until the client has read the one before. A proxy that
// holds an event back waits forever.
func (l *lab) pace(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.ServeHTTP(&pacedWriter{ResponseWriter: w, gone: r.Context(), read: l.read}, r)
	})
}

// pacedWriter gets one event with each Write.
type pacedWriter struct {
	http.ResponseWriter
	gone  context.Context
	read  <-chan struct{}
	begun bool
}

// Unwrap is for http.ResponseController.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements http.ResponseWriter.
func (w *pacedWriter) Write(event []byte) (int, error) {
	if w.begun {
		select {
		case <-w.read:
		case <-w.gone.Done():
			return 0, context.Cause(w.gone)
		}
	}
	w.begun = true
	return w.ResponseWriter.Write(event)
}
