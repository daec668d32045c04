package selftest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/fakeupstream"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/proxy"
)

const (
	protocolHTTP2 = "HTTP/2"
	protocolHTTP1 = "HTTP/1.1"
	// defaultListener is the name of the shipped socket unit's listener.
	defaultListener = "proxy"
	// closeTime bounds the end of a lab.
	closeTime = time.Second
)

// protocols are those that an upstream may speak.
func protocols() []string { return []string{protocolHTTP2, protocolHTTP1} }

// lab is a client, the proxy and an upstream, all on loopback.
type lab struct {
	protocol  string // to the upstream
	settings  *config.Config
	witness   *witness
	upstream  *fakeupstream.Server
	recorder  *recorder
	proxy     *proxy.Proxy
	server    *inbound.Server
	listener  inbound.Listener
	transport *http.Transport // the client's
	asked     int             // requests of the client
}

func openLab(c Config, protocol, listener string) (*lab, error) {
	l := &lab{
		protocol: protocol, settings: c.Settings, witness: newWitness(), recorder: newRecorder(),
		transport: &http.Transport{DisableCompression: true}, // the client does what it is told, and no more
	}
	var err error
	l.upstream, err = fakeupstream.Start(fakeupstream.Config{
		TLS: true, HTTP2: protocol == protocolHTTP2, RequireOAuthBeta: true,
		Wrap: l.witness.wrap, Observe: l.witness.observe,
	})
	if err != nil {
		return nil, fmt.Errorf("starting the loopback upstream: %w", err)
	}
	if err := l.openProxy(c, listener); err != nil {
		_ = l.upstream.Close() // it served nobody
		return nil, err
	}
	return l, nil
}

// openProxy puts the real proxy in front of the upstream, as serve does.
func (l *lab) openProxy(c Config, name string) error {
	target, err := url.Parse(l.upstream.URL())
	if err != nil {
		return fmt.Errorf("reading the upstream's address: %w", err)
	}
	log := slog.New(l.recorder)
	settings := onLoopback(*c.Settings, target, l.upstream.CertificatePEM())
	l.proxy, err = proxy.New(proxy.Config{Host: "selftest", Log: log, Registerer: prometheus.NewRegistry()}, settings)
	if err != nil {
		return fmt.Errorf("making the proxy: %w", err)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening on loopback: %w", err)
	}
	handler := http.Handler(l.proxy)
	if c.around != nil {
		handler = c.around(handler)
	}
	l.listener = inbound.Listener{Name: name, Listener: socket}
	l.server = inbound.NewServer(handler, log)
	l.server.Resize(settings.Proxy.MaxConnections + settings.Proxy.QueueLimit)
	l.server.Open(l.listener, func(error) {}) // the client's connection fails too, and says so
	return nil
}

// close ends everything, what hangs included.
func (l *lab) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	l.transport.CloseIdleConnections()
	l.server.CloseListeners([]inbound.Listener{l.listener})
	l.server.Cut(ctx)
	_ = l.listener.Close() // nothing was asked of it any more
	_ = l.upstream.Close() // likewise
	l.proxy.Close()
}

// url gives the target as it is to be sent: nothing in it is encoded or cleaned.
func (l *lab) url(target string) *url.URL {
	return &url.URL{Scheme: "http", Host: l.listener.Addr().String(), Opaque: target}
}

// countedRight: each request has come to the upstream once, also after its answer.
// To be asked of a closed lab.
func (l *lab) countedRight() error {
	if n := l.witness.total(); n != l.asked {
		return fmt.Errorf("the client sent %d requests, the upstream received %d", l.asked, n)
	}
	return nil
}
