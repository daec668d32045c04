package upstream

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"slices"

	"oauth-proxyd/internal/config"
)

// Config says where requests go, and by which path.
type Config struct {
	// Proxy has the upstream's URL, certificates, CONNECT proxies and ConnectTimeout.
	config.Proxy
	// Dial replaces DNS and TCP. If nil, the host's own are used.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Resolver looks names up. If nil, [NewResolver] makes one.
	Resolver *net.Resolver
	// Observe is called with each stage of making a connection, from several goroutines. It may be
	// nil.
	Observe func(Stage)
}

// SameTarget reports whether connections made for a can be used for b, too.
func SameTarget(a, b config.Proxy) bool {
	return a.UpstreamURL.String() == b.UpstreamURL.String() && string(a.UpstreamCAs) == string(b.UpstreamCAs) &&
		slices.EqualFunc(a.UpstreamProxies, b.UpstreamProxies, func(a, b *url.URL) bool { return a.String() == b.String() }) &&
		a.ConnectTimeout == b.ConnectTimeout
}

// hostPort returns host:port of u, with the default port of its scheme if it has none.
func hostPort(u *url.URL) string {
	defaultPort := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), defaultPort))
}
