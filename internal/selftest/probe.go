package selftest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/fakeupstream"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/proxy"
)

const (
	shortestTimeout = time.Second // shorter ones of the configuration are raised to it
	closeTime       = time.Second // for the end of a probe
	maxEvents       = 1000        // more than a response has
)

// probe sends the request of a client through the real proxy to a mock of the API, all on loopback.
func (t test) probe(ctx context.Context, c *Client) error {
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	read, received := make(chan struct{}, maxEvents), make(chan http.Header, maxEvents)
	api, stop, err := fakeupstream.Start(fakeupstream.Handler(fakeupstream.Config{
		RequireOAuthBeta: true,
		Observe:          func(r *http.Request) { received <- r.Header.Clone() },
		// Each event waits until the client has read the one before. If a proxy holds it back, both
		// wait until the probe's time is over.
		Pause: func(r *http.Request) {
			select {
			case <-read:
			case <-r.Context().Done():
			}
		},
	}))
	if err != nil {
		return fmt.Errorf("starting the mock API: %w", err)
	}
	p, address, closeProxy, err := t.serve(c.Listener, api)
	if err != nil {
		stop()
		return err
	}
	failed := c.send(ctx, address, read)
	closeProxy() // now the proxy has recorded the request
	stop()
	c.record(p.Ended(), t.settings.Headers, received)
	switch {
	case failed != nil:
		c.Error = failed.Error()
	case c.arrivals != 1:
		c.Error = fmt.Sprintf("the API received the request %d times", c.arrivals)
	}
	return nil
}

// serve puts the proxy in front of the API, as the daemon does.
func (t test) serve(name, api string) (p *proxy.Proxy, address string, end func(), err error) {
	target, err := url.Parse(api)
	if err != nil {
		return nil, "", nil, fmt.Errorf("reading the address of the mock API: %w", err)
	}
	log, settings := slog.New(slog.DiscardHandler), onLoopback(*t.settings, target)
	p, err = proxy.New(proxy.Config{Host: "selftest", Log: log, Registerer: prometheus.NewRegistry()}, settings)
	if err != nil {
		return nil, "", nil, fmt.Errorf("making the proxy: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", nil, fmt.Errorf("listening on loopback: %w", err)
	}
	handler := http.Handler(p)
	if t.around != nil {
		handler = t.around(handler)
	}
	s := inbound.NewServer(handler, log)
	s.Resize(settings.Proxy.MaxConnections+settings.Proxy.QueueLimit, 1)
	s.Open(name, l, func(error) {}) // the client's connection fails too, and is reported
	return p, l.Addr().String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		s.Cut(ctx)
		_ = l.Close() // nothing connects any more
		p.Close()
	}, nil
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

// send sends the request and reads the response. An error says why the response is not complete.
func (c *Client) send(ctx context.Context, address string, read chan<- struct{}) error {
	r, err := http.NewRequestWithContext(ctx, c.Method, "http://"+address+c.Target, strings.NewReader(c.body))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	r.Header = c.header.Clone()
	transport := &http.Transport{DisableCompression: true} // it sends no header of its own
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("no response: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	c.Status = response.StatusCode
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		return c.readEvents(ctx, read, response.Body)
	}
	var refusal struct {
		Error struct{ Message string }
	}
	body, err := io.ReadAll(response.Body)
	_ = json.Unmarshal(body, &refusal) // it is the proxy's own, or the mock API's
	c.refusal = refusal.Error.Message
	if response.Header.Get("Proxy-Status") != "" {
		return fmt.Errorf("the proxy refused it with %d: %s", c.Status, c.refusal)
	}
	return err
}

// readEvents lets the API send the next event only when the one before has been read.
func (c *Client) readEvents(ctx context.Context, read chan<- struct{}, body io.Reader) error {
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if lines.Text() == "" { // the end of an event
			c.Events++
			read <- struct{}{}
		}
	}
	if lines.Err() != nil && ctx.Err() != nil {
		return fmt.Errorf("event %d did not arrive before the next one was sent", c.Events+1)
	}
	return lines.Err()
}

// record adds what the API received and what the rules did.
func (c *Client) record(ended []proxy.Trace, rules []config.Header, received chan http.Header) {
	for _, t := range ended {
		for i, done := range t.HeaderRules {
			c.Rules = append(c.Rules, Rule{Name: rules[i].Rule(), Does: rules[i].Effect(), Result: done.Result})
		}
	}
	c.arrivals = len(received)
	if c.arrivals > 0 {
		c.received = <-received
	}
	sent := c.header.Clone()
	if n := len(c.body); n > 0 {
		sent["Content-Length"] = []string{strconv.Itoa(n)}
	}
	if c.received != nil {
		c.Headers = compare(sent, c.received)
	}
}
