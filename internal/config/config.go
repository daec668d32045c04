package config

import (
	"log/slog"
	"net/url"
	"time"
)

// Config is one validated configuration. Load, Parse and Default return it, and nothing changes it,
// its slices or its URLs after that, so a request can keep its Config through a reload.
type Config struct {
	Proxy     Proxy
	Tailscale Tailscale
	Identity  Gateways
	Access    Access
	Headers   []Header // in the order of the file, which is the order in which they apply
	Metrics   Metrics
	Log       Log
}

// Proxy is the proxy block: the listener, the upstream, and the limits of requests. The bounds of
// each field are in schema.go, its default is in [Default].
type Proxy struct {
	// ListenAddr is host:port, used only when systemd passed no socket. The host is an IP address,
	// "localhost" or empty (every address); port 0 lets the kernel choose.
	ListenAddr string
	// UpstreamURL has a scheme (http or https) and a host, nothing else. http is accepted only for
	// loopback and tailnet addresses.
	UpstreamURL *url.URL
	// UpstreamCAFile is the absolute path of a PEM file whose certificates are trusted besides the
	// system's; empty: the system's alone.
	UpstreamCAFile string
	// UpstreamCAs are the usable certificates of UpstreamCAFile in PEM, at least one if there is a
	// file. Warnings names the others.
	UpstreamCAs []byte
	// UpstreamProxies are the HTTP CONNECT proxies between us and the upstream (RFC 9110, section
	// 9.3.6), http or https with host and port, in the order in which they are tried.
	UpstreamProxies         []*url.URL
	ConnectTimeout          time.Duration // for DNS, TCP and TLS together
	ResponseHeaderTimeout   time.Duration // until the upstream's response begins; longer than the clients wait
	IdleTimeout             time.Duration // without a byte in either direction; longer than the clients wait
	MaxConnections          int           // requests in flight; more wait in the queue
	MaxConnectionsPerPerson int           // the same for one person; 0: no limit
	QueueLimit              int           // requests that wait; 0: none
	QueueTimeout            time.Duration
	MaxRequestBody          int64         // bytes, streamed, not buffered
	DrainTimeout            time.Duration // from the signal to the exit
	HandoverTimeout         time.Duration // for the open streams of the old process after an upgrade
	Retry                   Retry

	warnings []string // of UpstreamCAFile
}

// Retry is the proxy.retry block: sending a request again that the upstream provably never
// processed.
type Retry struct {
	Attempts int           // the first one included
	Backoff  time.Duration // before the first further attempt
	Memory   int64         // bytes, for all request bodies kept for replay together
}

// Tailscale is the tailscale block: the tailnet that the daemon serves.
type Tailscale struct {
	Required bool     // false serves without a tailnet
	WhenDown WhenDown // at the start
	Socket   string   // absolute path of tailscaled's socket; empty: Tailscale's own default
}

// WhenDown is what the daemon does when it starts and the tailnet is down.
type WhenDown string

const (
	Wait WhenDown = "wait" // serve local clients and wait for the tailnet
	Exit WhenDown = "exit" // try again five times, then leave
)

// Gateways is the identity block: the gateways that say for whom they send a request.
type Gateways struct {
	// From are the senders that are trusted, none of them [Local]; empty: none. Default empty.
	From []Source
	// Header is where they name the person, in the spelling of [net/http.CanonicalHeaderKey].
	// The header of any other sender is ignored, and the upstream never gets it. Default
	// X-Claude-Gateway-User-Email.
	Header string
}

// Access is the access block: who may send requests.
type Access struct {
	Allow    []Source // never empty
	Browsers []string // origins of web pages that may send cross-origin requests, as browsers spell them; "*" is any
}

// Metrics is the metrics block: who may read the metrics, and where else they are written.
type Metrics struct {
	Allow            []Source // may be empty: no client
	Textfile         string   // absolute path, ending in .prom, for node_exporter's textfile collector; empty: none
	TextfileInterval time.Duration
}

// Log is the log block.
type Log struct {
	Level    slog.Level
	Format   string // auto, journal, text or json
	Identity string // how users and nodes appear: full, hashed or none
}
