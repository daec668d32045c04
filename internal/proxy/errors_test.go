package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"oauth-proxyd/internal/access"
)

// errorCase is one of our error responses: its status, its code, its token in Proxy-Status, and the
// error_type that it counts as, or "".
type errorCase struct {
	status                 int
	code, token, errorType string
	upstream               func(*testing.T) *mockAPI
	change                 func(*setup)
}

func errorCases() map[string]errorCase {
	silent := func(t *testing.T) *mockAPI { // takes connections, and nothing else
		return listenScript(t, nil, nil, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	}
	handshakes := func(t *testing.T) *mockAPI {
		up := silent(t)
		up.url.Scheme = "https"
		return up
	}
	leaves := func(t *testing.T) *mockAPI {
		return listenScript(t, nil, nil, func(c net.Conn) { _, _ = c.Read(make([]byte, 1000)) })
	}
	return map[string]errorCase{
		"access denied":    {403, "access_denied", "http_request_denied", "", silent, allow()},
		"the client stops": {408, "client_idle_timeout", "http_request_error", "invalid_request", silent, shortIdle},
		"a bug":            {500, "internal", "proxy_internal_error", "internal", silent, asked(func() error { panic("a bug") })},
		"the upstream leaves": {
			502, "upstream_protocol", "http_protocol_error", "connection", leaves, func(*setup) {},
		},
		"too many": {503, "overloaded", "connection_limit_reached", "", silent, func(s *setup) { s.Proxy.MaxConnections, s.Proxy.QueueTimeout = 0, short }},
		"tailscaled is ill": {
			503, "tailnet_unavailable", "proxy_internal_error", "", silent, asked(func() error { return errors.New("ill") }),
		},
		"no connection": {504, "upstream_connect_timeout", "connection_timeout", "timeout", handshakes, func(s *setup) { s.Proxy.ConnectTimeout = short }},
		"no response":   {504, "upstream_header_timeout", "http_response_timeout", "timeout", silent, func(s *setup) { s.Proxy.ResponseHeaderTimeout = short }},
	}
}

// asked has a door ask who its client is.
func asked(response func() error) func(*setup) {
	return func(s *setup) {
		between(peerAddr, hostAddr)(s)
		s.whoIs = func(context.Context, netip.AddrPort) (access.Identity, bool, error) {
			return access.Identity{}, false, response()
		}
	}
}

// Each error has its type for clients and its kind for alerts. Refusals that the operator decided
// on have no kind.
func TestEachErrorHasItsKind(t *testing.T) {
	for name, c := range errorCases() {
		t.Run(name, func(t *testing.T) {
			d := openDoor(t, c.upstream(t), c.change)
			conn := d.dial(t)
			conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
			if c.code != "client_idle_timeout" {
				conn.send(t, strings.Repeat("x", 1000))
			}
			response, body := conn.response(t, http.MethodPost)
			ours(t, response, body, c.status, c.code, c.token)
			d.wantKind(t, c.code, c.errorType)
		})
	}
}

// wantKind: one error was counted, as this one.
func (d *door) wantKind(t *testing.T, code, errorType string) {
	t.Helper()
	counts(t, d, `proxy_errors_total{code="`+code+`"}`, 1)
	for _, kind := range []string{"timeout", "connection", "invalid_request", "response_read", "internal"} {
		want := 0.0
		if kind == errorType {
			want = 1
		}
		if n := metric(t, d.reg, `proxy_upstream_errors_total{error_type="`+kind+`"}`); n != want {
			t.Errorf("error_type %s counts %v", kind, n)
		}
	}
}

func TestTheEndOfADrainHasItsKind(t *testing.T) {
	arrived := make(chan struct{})
	up := newUpstream(t, "http1", func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	d := openDoor(t, up)
	conn := d.dial(t)
	conn.send(t, smuggled)
	receive(t, arrived, "the request")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d.server.Cut(ctx)
	response, body := conn.response(t, http.MethodGet)
	ours(t, response, body, 503, "draining", "proxy_internal_error")
	d.wantKind(t, "draining", "")
}
