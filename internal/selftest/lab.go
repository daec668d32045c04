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
	shortestTimeout = time.Second // of those that a probe is held to
	closeTime       = time.Second // for the end of a lab
	maxEvents       = 1000        // more than a response has
)

// lab is the real proxy between one client and a mock of the API, all on loopback.
type lab struct {
	stopAPI   func()
	read      chan struct{} // an element for each event that the client has read
	proxy     *proxy.Proxy
	server    *inbound.Server
	listener  net.Listener
	transport *http.Transport // the client's

	mu       sync.Mutex
	received []http.Header // by the API, one element for each request
}

func openLab(c Config, listener string) (*lab, error) {
	l := &lab{
		read:      make(chan struct{}, maxEvents),
		transport: &http.Transport{DisableCompression: true}, // it sends no header of its own
	}
	api := fakeupstream.Handler(fakeupstream.Config{RequireOAuthBeta: true})
	address, stop, err := fakeupstream.Start(l.watch(api))
	if err != nil {
		return nil, fmt.Errorf("starting the mock API: %w", err)
	}
	l.stopAPI = stop
	if err := l.openProxy(c, listener, address); err != nil {
		stop()
		return nil, err
	}
	return l, nil
}

// openProxy puts the proxy in front of the API, as serve does.
func (l *lab) openProxy(c Config, name, api string) error {
	target, err := url.Parse(api)
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
	l.server.Resize(settings.Proxy.MaxConnections+settings.Proxy.QueueLimit, 1)
	l.server.Open(name, l.listener, func(error) {}) // the client's connection fails too, and is reported
	return nil
}

// onLoopback returns c with the mock API as upstream, and open to this host.
func onLoopback(c config.Config, target *url.URL) proxy.Settings {
	p := &c.Proxy
	p.UpstreamURL, p.UpstreamCAs, p.UpstreamProxies = target, nil, nil
	for _, timeout := range []*time.Duration{&p.ConnectTimeout, &p.ResponseHeaderTimeout, &p.IdleTimeout, &p.QueueTimeout} {
		*timeout = max(*timeout, shortestTimeout)
	}
	c.Access = config.Access{Allow: []config.Source{{Kind: config.Local}}}
	return proxy.Settings{Config: c}
}

// close ends everything, requests that hang included.
func (l *lab) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	l.transport.CloseIdleConnections()
	l.server.CloseListeners()
	l.server.Cut(ctx)
	_ = l.listener.Close() // nothing connects any more
	l.stopAPI()
	l.proxy.Close()
}

// watch records what arrives, and makes the API wait before each event until the client has read
// the one before. If a proxy holds an event back, both wait until the probe's time is over.
func (l *lab) watch(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.received = append(l.received, r.Header.Clone())
		l.mu.Unlock()
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
