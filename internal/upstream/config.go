package upstream

import (
	"context"
	"net"
	"net/url"
	"slices"
	"time"

	"oauth-proxyd/internal/config"
)

// Config says where requests go, and by which path.
type Config struct {
	// URL has a scheme (http or https) and a host, nothing else.
	URL *url.URL
	// RootCAs holds PEM certificates that are trusted beside the system's.
	RootCAs []byte
	// Proxies are HTTP CONNECT proxies for an https upstream, in the order in which they are tried.
	// Without one, connections are direct.
	Proxies []*url.URL
	// ConnectTimeout bounds DNS, TCP and TLS together.
	ConnectTimeout time.Duration
	// Dial replaces DNS and TCP. If nil, the host's own are used.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Resolver looks names up. If nil, [NewResolver] makes one.
	Resolver *net.Resolver
	// Observe is called with each stage of making a connection, from several goroutines. It may be
	// nil.
	Observe func(Stage)
}

// From returns the Config for a configuration file's proxy block.
func From(c config.Proxy) Config {
	return Config{URL: c.UpstreamURL, RootCAs: c.UpstreamCAs, Proxies: c.UpstreamProxies, ConnectTimeout: c.ConnectTimeout}
}

// SameTarget reports whether connections made for c can be used for other, too.
func (c Config) SameTarget(other Config) bool {
	return c.URL.String() == other.URL.String() && string(c.RootCAs) == string(other.RootCAs) &&
		slices.EqualFunc(c.Proxies, other.Proxies, func(a, b *url.URL) bool { return a.String() == b.String() }) &&
		c.ConnectTimeout == other.ConnectTimeout
}

// hostPort returns host:port of u, with the default port of its scheme if it has none.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
