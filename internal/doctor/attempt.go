package doctor

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/upstream"
)

// attempt is one request to the upstream, on a connection like those of the daemon.
type attempt struct {
	upstream.Config
	proxy *url.URL // the one that was used, or else the first one; nil: directly

	mu      sync.Mutex
	ended   bool // an address that lost the race may report late
	lookups []lookup
	reached []Finding // one for each address

	connected bool           // the upstream, TLS included
	response  *http.Response // its body is read
	took      time.Duration  // by the request, without the connection
	err       error
}

// lookup is a name that was resolved.
type lookup struct {
	name      string
	addresses []netip.Addr
	took      time.Duration
}

func (a *attempt) record(add func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		add()
	}
}

// trace records the names and addresses that worked. The error of the attempt has the others.
func (a *attempt) trace() *httptrace.ClientTrace {
	var name string
	began := map[string]time.Time{}
	begin := func(to string) { a.record(func() { began[to] = time.Now() }) }
	return &httptrace.ClientTrace{
		DNSStart: func(i httptrace.DNSStartInfo) { name = i.Host; begin(name) },
		DNSDone: func(i httptrace.DNSDoneInfo) {
			found := lookup{name: name}
			for _, address := range i.Addrs {
				addr, _ := netip.AddrFromSlice(address.IP)
				found.addresses = append(found.addresses, addr.Unmap())
			}
			a.record(func() {
				found.took = time.Since(began[name])
				if i.Err == nil {
					a.lookups = append(a.lookups, found)
				}
			})
		},
		ConnectStart: func(_, address string) { begin(address) },
		ConnectDone: func(_, address string, err error) {
			a.record(func() {
				if err == nil {
					a.reached = append(a.reached, at(stepTCP, ok("connected to %s in %s", address, milliseconds(time.Since(began[address])))))
				}
			})
		},
	}
}

// send sends one plain request without a credential.
func (a *attempt) send(ctx context.Context, agent string) {
	config := a.Config
	if len(config.UpstreamProxies) > 0 {
		a.proxy = config.UpstreamProxies[0]
	}
	config.Trace = a.trace()
	a.err = a.exchange(ctx, config, agent)
	a.record(func() { a.ended = true })
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
	conn, err := pool.Get(ctx)
	if err != nil {
		return err
	}
	a.connected = true
	for _, p := range config.UpstreamProxies {
		if p.Host == pool.Route().Proxy {
			a.proxy = p
		}
	}
	began := time.Now()
	response, err := conn.Send(ctx, request, nil)
	if err != nil {
		return err
	}
	a.response, a.took = response, time.Since(began)
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxResponse)) // only the status matters
	return response.Body.Close()
}

// host returns the name or the address that the attempt connects to.
func (a *attempt) host() string {
	if a.proxy != nil {
		return a.proxy.Hostname()
	}
	return a.UpstreamURL.Hostname()
}

// curl returns the command that sends such a request to a path of the upstream through a proxy, or
// directly if that is nil.
func (a *attempt) curl(path string, proxy *url.URL) string {
	command := "curl -v "
	if file := a.UpstreamCAFile; file != "" {
		command += "--cacert " + file + " "
	}
	if proxy != nil {
		command += "--proxy " + proxy.String() + " "
	}
	u := *a.UpstreamURL
	if path != "" {
		u = *u.JoinPath(path)
	}
	return command + u.String()
}
