package sdk_test

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// fault is what a client does wrong. js/cases/fault.mjs knows the same.
type fault string

const (
	noFault     fault = "none"
	noPath      fault = "no path"
	largeHeader fault = "large header"
	upgrade     fault = "upgrade"
	stalledBody fault = "stalled body"
)

// do spoils a request of the SDK. What it holds open is released with the test.
func (f fault) do(t *testing.T, req *http.Request) {
	switch f {
	case noPath:
		req.URL = &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Opaque: "mailto:a"}
	case largeHeader:
		req.Header.Set("X-Large", strings.Repeat("a", 80<<10))
	case upgrade:
		req.Header.Set("Connection", "upgrade")
		req.Header.Set("Upgrade", "websocket")
	case stalledBody:
		held, release := io.Pipe()
		t.Cleanup(func() { _ = release.Close() })
		req.Body = io.NopCloser(io.MultiReader(io.LimitReader(req.Body, 10), held))
	}
}

// hold sends a request that lasts to the end of the test.
func hold(t *testing.T, w way) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.base+"/v1/messages", strings.NewReader(`{"model":"stall","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", daemontest.APIKey)
	resp, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
}

// before starts a daemon in front of an API that is ill.
func before(ill func(*testing.T) (url string)) func(*testing.T) *ground {
	return func(t *testing.T) *ground {
		u := newUpstream(t, false)
		settings := forwarding(t, u, `connect_timeout = "300ms"`, `response_header_timeout = "300ms"`)
		return &ground{daemon: startDaemon(t, strings.Replace(settings, u.URL, ill(t), 1))}
	}
}

// refusing is an address where nothing listens.
func refusing(t *testing.T) string {
	l := listen(t, func(net.Conn) {})
	_ = l.Close()
	return "http://" + l.Addr().String()
}

// babbling is an API that does not speak HTTP.
func babbling(t *testing.T) string {
	l := listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "hello\r\n\r\n")
	})
	return "http://" + l.Addr().String()
}

// silent is an API that takes requests and never responds.
func silent(t *testing.T) string { return "http://" + listenSilently(t) }

// withoutTLS is one that never finishes a TLS handshake.
func withoutTLS(t *testing.T) string { return "https://" + listenSilently(t) }

// listenSilently accepts connections and sends nothing, to the end of the test.
func listenSilently(t *testing.T) (address string) {
	t.Helper()
	l := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	return l.Addr().String()
}

// listen serves connections to the end of the test.
func listen(t *testing.T, serve func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	return l
}
