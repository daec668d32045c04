package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/upstream"
)

// attempt is one request to the upstream, directly or through one proxy.
type attempt struct {
	config upstream.Config
	proxy  *url.URL // nil: directly

	steps    []upstream.Stage
	response *http.Response // its body is read
	took     time.Duration  // by the request, without the connection
	err      error

	informational atomic.Int64 // 1xx responses that came before the final one
}

// attempts returns an attempt for each proxy, in the order in which the daemon tries them.
func attempts(c upstream.Config) []*attempt {
	if len(c.UpstreamProxies) == 0 {
		return []*attempt{{config: c}}
	}
	all := make([]*attempt, len(c.UpstreamProxies))
	for i, proxy := range c.UpstreamProxies {
		all[i] = &attempt{config: c, proxy: proxy}
		all[i].config.UpstreamProxies = []*url.URL{proxy}
	}
	return all
}

// send sends one plain request without a credential, on a connection like those of the daemon.
func (a *attempt) send(ctx context.Context, agent string) {
	var mu sync.Mutex
	ended := false // an address that lost the race may report its step late
	config := a.config
	config.Observe = func(s upstream.Stage) {
		mu.Lock()
		defer mu.Unlock()
		if !ended {
			a.steps = append(a.steps, s)
		}
	}
	a.err = a.exchange(ctx, config, agent)
	mu.Lock()
	defer mu.Unlock()
	ended = true
}

func (a *attempt) exchange(ctx context.Context, config upstream.Config, agent string) error {
	pool, err := upstream.New(config)
	if err != nil {
		return err
	}
	defer pool.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.UpstreamURL.JoinPath("/v1/models").String(), http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", agent)
	request.Header.Set("Anthropic-Version", "2023-06-01")
	request.Header.Set(admin.ProbeHeader, rand.Text()) // a daemon recognizes the request by it if it comes back
	conn, err := pool.Get(ctx, func() {})
	if err != nil {
		return err
	}
	began := time.Now()
	response, err := conn.Send(ctx, request, upstream.Events{Informational: func(int, http.Header) {
		a.informational.Add(1)
	}})
	if err != nil {
		return err
	}
	a.response, a.took = response, time.Since(began)
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxResponse)) // only the status matters
	return response.Body.Close()
}

// done reports whether a step of that kind succeeded.
func (a *attempt) done(part string) bool {
	return slices.ContainsFunc(a.steps, func(s upstream.Stage) bool { return s.Part == part && s.Err == nil })
}

// failedPart returns the step at which the connection failed, or "" if it was made.
func (a *attempt) failedPart() string {
	for _, step := range []struct {
		part   string
		needed bool
	}{
		{upstream.StageName, net.ParseIP(a.host()) == nil},
		{upstream.StageAddress, true},
		{upstream.StageTunnel, a.proxy != nil},
		{upstream.StageHandshake, a.config.UpstreamURL.Scheme == "https"},
	} {
		if step.needed && !a.done(step.part) {
			return step.part
		}
	}
	return ""
}

// host returns the name or the address that the attempt connects to.
func (a *attempt) host() string { return cmp.Or(a.proxy, a.config.UpstreamURL).Hostname() }

// addresses returns those of the host that the attempt connects to.
func (a *attempt) addresses() []netip.Addr {
	if addr, err := netip.ParseAddr(a.host()); err == nil {
		return []netip.Addr{addr.Unmap()}
	}
	var all []netip.Addr
	for _, s := range a.steps {
		for _, addr := range s.Addresses {
			all = append(all, addr.Unmap())
		}
	}
	return all
}

// curl returns the command that sends such a request to a path of the upstream.
func (a *attempt) curl(path string) string {
	command := "curl -v "
	if file := a.config.UpstreamCAFile; file != "" {
		command += "--cacert " + file + " "
	}
	if a.proxy != nil {
		command += "--proxy " + a.proxy.String() + " "
	}
	u := *a.config.UpstreamURL
	if path != "" {
		u = *u.JoinPath(path)
	}
	return command + u.String()
}

// connected reports whether the daemon would use this proxy: it tries the next one only if a proxy
// opens no tunnel.
func (a *attempt) connected() bool {
	part := a.failedPart()
	return part == "" || part == upstream.StageHandshake
}
