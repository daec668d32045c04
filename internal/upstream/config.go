package upstream

import (
	"context"
	"net"
	"net/url"
	"slices"
	"time"

	"oauth-proxyd/internal/config"
)

// Config says where requests go, and how to get there.
type Config struct {
	// URL has a scheme (http or https) and a host, nothing else.
	URL *url.URL
	// RootCAs holds PEM certificates that are trusted beside the system's.
	RootCAs []byte
	// Proxies are HTTP CONNECT proxies for an https upstream, in the order in which they are tried.
	// None: the upstream is connected to directly.
	Proxies []*url.URL
	// ConnectTimeout bounds DNS, TCP and TLS together. Names get half of it at most.
	ConnectTimeout time.Duration
	// Dial replaces DNS and TCP. nil: the host's own.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Resolver looks names up. nil: [NewResolver]'s.
	Resolver *net.Resolver
	// Observe is called with each part of making a connection, from several goroutines. nil: nobody
	// wants to know.
	Observe func(Step)
}

// From is what a configuration says of that.
func From(c config.Proxy) Config {
	return Config{URL: c.UpstreamURL, RootCAs: c.UpstreamCAs, Proxies: c.UpstreamProxies, ConnectTimeout: c.ConnectTimeout}
}

// SameTarget reports whether connections made for c serve other as well.
func (c Config) SameTarget(other Config) bool {
	return c.URL.String() == other.URL.String() && string(c.RootCAs) == string(other.RootCAs) &&
		slices.EqualFunc(c.Proxies, other.Proxies, func(a, b *url.URL) bool { return a.String() == b.String() }) &&
		c.ConnectTimeout == other.ConnectTimeout
}

// hostPort is the address of u, with the port of its scheme where it names none.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
