package doctor

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"oauth-proxyd/internal/upstream"
)

// way is one attempt to reach the upstream, directly or through one proxy.
type way struct {
	config upstream.Config
	proxy  *url.URL // nil: directly

	mu     sync.Mutex
	steps  []upstream.Step
	silent []string // name servers that did not respond

	response *http.Response // its body is read
	took     time.Duration  // by the request, without the connection
	err      error
}

// ways are those that the daemon may take, in the order in which it tries them.
func ways(c upstream.Config) []*way {
	if len(c.Proxies) == 0 {
		return []*way{newWay(c, nil)}
	}
	all := make([]*way, 0, len(c.Proxies))
	for _, proxy := range c.Proxies {
		all = append(all, newWay(c, proxy))
	}
	return all
}

func newWay(c upstream.Config, proxy *url.URL) *way {
	w := &way{config: c, proxy: proxy}
	if proxy != nil {
		w.config.Proxies = []*url.URL{proxy}
	}
	w.config.Observe = w.note
	w.config.Resolver = upstream.NewResolver(c.ConnectTimeout, w.noteSilent)
	return w
}

func (w *way) note(s upstream.Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = append(w.steps, s)
}

func (w *way) noteSilent(server string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	server = strings.TrimSuffix(server, ":53")
	if !slices.Contains(w.silent, server) {
		w.silent = append(w.silent, server)
	}
}

// travel sends one plain request without a credential, and keeps what became of it.
func (w *way) travel(ctx context.Context, agent string) {
	pool, err := upstream.New(w.config)
	if err != nil {
		w.err = err
		return
	}
	defer pool.Close()
	w.err = w.ask(ctx, pool, agent)
}

func (w *way) ask(ctx context.Context, pool *upstream.Pool, agent string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.config.URL.JoinPath("/v1/models").String(), http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", agent)
	request.Header.Set("Anthropic-Version", "2023-06-01")
	conn, err := pool.Get(ctx, func() {})
	if err != nil {
		return err
	}
	began := time.Now()
	response, err := conn.Send(ctx, request, upstream.Events{})
	if err != nil {
		return err
	}
	w.response, w.took = response, time.Since(began)
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxResponse)) // its status is what is judged
	return response.Body.Close()
}

// observed are the steps so far.
func (w *way) observed() []upstream.Step {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.steps)
}

// silentServers are the name servers that did not respond.
func (w *way) silentServers() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.silent)
}

// done gives the first success of a part, if there was one.
func (w *way) done(part string) (upstream.Step, bool) {
	for _, s := range w.observed() {
		if s.Part == part && s.Err == nil {
			return s, true
		}
	}
	return upstream.Step{}, false
}

// stop is the part that did not succeed; empty: the connection was made. A part that took
// too long may not have been observed.
func (w *way) stop() string {
	parts := []string{upstream.StepName, upstream.StepAddress}
	if w.proxy != nil {
		parts = append(parts, upstream.StepTunnel)
	}
	if w.config.URL.Scheme == "https" {
		parts = append(parts, upstream.StepHandshake)
	}
	for _, part := range parts {
		if _, ok := w.done(part); !ok {
			return part
		}
	}
	return ""
}

// connected reports whether the daemon would stay with this way: it passes over a proxy only
// if that opens no tunnel.
func (w *way) connected() bool {
	stop := w.stop()
	return stop == "" || stop == upstream.StepHandshake
}

// peer is the host and port that is connected to, the proxy's if there is one.
func (w *way) peer() *url.URL {
	if w.proxy != nil {
		return w.proxy
	}
	return w.config.URL
}

// addresses are those that the peer's name was found to have.
func (w *way) addresses() []netip.Addr {
	s, _ := w.done(upstream.StepName)
	all := slices.Clone(s.Addresses)
	for i := range all {
		all[i] = all[i].Unmap()
	}
	return all
}

// isLiteral reports whether that name is an address, which nobody is asked for.
func isLiteral(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// refusal is the status with which a proxy refused to connect; 0: it did not.
func refusal(err error) int {
	if refused, ok := errors.AsType[*upstream.TunnelError](err); ok {
		return refused.Status
	}
	return 0
}
