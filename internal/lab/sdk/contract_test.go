package sdk_test

import (
	"fmt"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/faketailscaled"
)

// breach is one of our own errors, and how a client or an API provokes it.
type breach struct {
	code, kind string
	status     int  // of the response; 0: the code comes in a stream that had begun
	final      bool // a retry is pointless
	start      func(*testing.T) *ground
	fault      fault
	model      string
}

// ground is where a breach happens: a daemon, and what is done during the request.
type ground struct {
	*daemon
	meanwhile func()
}

// breaches are all that can be provoked from outside: "internal" cannot.
func breaches() []breach {
	return []breach{
		{"invalid_request", "invalid_request_error", 400, true, usual(), noPath, ""},
		{"loop_detected", "invalid_request_error", 400, true, looping, noFault, ""},
		{"access_denied", "permission_error", 403, true, onlyTailnet, noFault, ""},
		{"client_idle_timeout", "timeout_error", 408, false, usual(`idle_timeout = "300ms"`), stalledBody, ""},
		{"request_too_large", "request_too_large", 413, true, usual(`max_request_body = "10B"`), noFault, ""},
		{"headers_too_large", "invalid_request_error", 431, true, usual(), largeHeader, ""},
		{"upgrade_refused", "not_supported", 501, true, usual(), upgrade, ""},
		{"upstream_connect", "api_error", 502, false, before(refusing), noFault, ""},
		{"upstream_protocol", "api_error", 502, false, before(babbling), noFault, ""},
		{"upstream_interrupted", "api_error", 0, false, usual(), noFault, "cut-mid-stream"},
		{"upstream_idle_timeout", "api_error", 0, false, usual(`idle_timeout = "300ms"`), noFault, "stall"},
		{"overloaded", "overloaded_error", 503, false, full, noFault, ""},
		{"draining", "api_error", 0, false, stopping, noFault, "stall"},
		{"tailnet_unavailable", "api_error", 503, false, forgetful, noFault, ""},
		{"upstream_connect_timeout", "timeout_error", 504, false, before(withoutTLS), noFault, ""},
		{"upstream_header_timeout", "timeout_error", 504, false, before(silent), noFault, ""},
	}
}

func TestErrorContract(t *testing.T) {
	t.Parallel()
	node := hasNode(t)
	if node {
		install(t)
	}
	for _, b := range breaches() {
		t.Run(b.code, func(t *testing.T) {
			t.Parallel()
			t.Run("Go", b.inGo)
			if node {
				t.Run("JS", b.inJS)
			}
		})
	}
}

// attempts is how often an SDK tries again. Where the daemon says that a retry is pointless, it
// may, and does not.
func (b breach) attempts() int {
	if b.final {
		return 2
	}
	return 0
}

func (b breach) inGo(t *testing.T) {
	t.Parallel()
	g := b.start(t)
	w := newWay(t, g.base, nil, g.log)
	p := goPlay{play: stream(b.model), retries: b.attempts(), fault: b.fault}
	lines := g.during(func() []string { return w.play(t, goSDKs()[0], p, withKey()).lines })
	wants := []string{fmt.Sprintf("type %q, code %q", b.kind, b.code)}
	if b.status != 0 {
		wants = append(wants, fmt.Sprintf("  status %d, ", b.status))
	}
	b.check(t, lines, wants)
}

func (b breach) inJS(t *testing.T) {
	t.Parallel()
	g := b.start(t)
	c := jsCase{"fault", []string{jsKey, "LAB_MODEL=" + b.model, "LAB_FAULT=" + string(b.fault), fmt.Sprintf("LAB_RETRIES=%d", b.attempts())}}
	lines := g.during(func() []string { return playScript(t, jsSDKs()[0], c, newWay(t, g.base, nil, g.log))[0] })
	wants := []string{fmt.Sprintf("type %s code %s ", b.kind, b.code)}
	if b.status != 0 {
		wants = append(wants, fmt.Sprintf("  status %d ", b.status))
	}
	b.check(t, lines, wants)
}

// during plays a case, and does meanwhile what the ground asks for.
func (g *ground) during(play func() []string) []string {
	played := make(chan []string, 1)
	go func() { played <- play() }()
	if g.meanwhile != nil {
		g.meanwhile()
	}
	return <-played
}

// check looks at what the SDK knows of the error, and that it asked once.
func (b breach) check(t *testing.T, lines, wants []string) {
	t.Helper()
	wantAll(t, lines, append(wants, "oauth-proxyd@")...)
	responses := 0
	for _, line := range lines {
		if strings.HasPrefix(line, "response ") {
			responses++
		}
	}
	if responses != 1 {
		t.Errorf("%d responses, want one", responses)
	}
}

// usual has an API that is well, and perhaps more settings of the proxy block.
func usual(proxy ...string) func(*testing.T) *ground {
	return func(t *testing.T) *ground {
		return &ground{daemon: startDaemon(t, forwarding(t, newUpstream(t, false), proxy...))}
	}
}

// onlyTailnet refuses its own host.
func onlyTailnet(t *testing.T) *ground {
	settings := forwarding(t, newUpstream(t, false)) + "access {\n  allow = [\"tailnet\"]\n}\n"
	return &ground{daemon: startDaemon(t, settings)}
}

// looping is behind a gateway that leads back to it.
func looping(t *testing.T) *ground {
	target := make(chan *url.URL, 1)
	to := sync.OnceValue(func() *url.URL { return <-target })
	gateway := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to())
		r.SetXForwarded()
	}})
	t.Cleanup(gateway.Close)
	u := newUpstream(t, false)
	settings := strings.Replace(forwarding(t, u), u.URL, gateway.URL, 1)
	d := startDaemon(t, settings+"access {\n  allow = [\"local\", \"proxied\"]\n}\n")
	base, err := url.Parse(d.base)
	if err != nil {
		t.Fatal(err)
	}
	target <- base
	return &ground{daemon: d}
}

// full has a request in flight, and no room for another.
func full(t *testing.T) *ground {
	u := newUpstream(t, false)
	d := startDaemon(t, forwarding(t, u, "max_connections = 1", "queue_limit = 0"))
	w := newWay(t, d.base, u, d.log)
	hold(t, w)
	u.awaitBegun(t)
	return &ground{daemon: d}
}

// stopping is a daemon that is told to stop in the middle of a stream.
func stopping(t *testing.T) *ground {
	u := newUpstream(t, false)
	d := startDaemon(t, forwarding(t, u, `drain_timeout = "300ms"`))
	d.exit = 75 // a stream is cut
	return &ground{d, func() {
		u.awaitBegun(t)
		d.Signal(t, syscall.SIGTERM)
	}}
}

// forgetful is behind a tailscaled that no longer says who a client is.
func forgetful(t *testing.T) *ground {
	tailscaled := faketailscaled.New()
	tailscaled.Deliver(`{"Node":{"StableID":"n1CNTRL","Name":"laptop.tail.ts.net."},"UserProfile":{"LoginName":"ann@example.com"}}`)
	l, err := net.Listen("unix", filepath.Join(daemontest.TempDir(t), "tailscaled.sock"))
	if err != nil {
		t.Fatal(err)
	}
	tailscaled.Serve(l)
	t.Cleanup(tailscaled.Close)
	required := fmt.Sprintf("required = true\n  socket = %q", l.Addr())
	d := startDaemon(t, strings.Replace(forwarding(t, newUpstream(t, false)), "required = false", required, 1))
	d.log.Next(t, `"msg":"serving"`)
	tailscaled.Hang()
	return &ground{daemon: d}
}
