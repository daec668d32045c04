package config

import (
	"log/slog"
	"net/url"
	"time"
)

// Config is one validated configuration. It is immutable: nobody changes a Config, its slices or
// its URLs after Load, Parse or Default returned it, so that a request may keep the one it began
// with through a reload.
type Config struct {
	Proxy     Proxy
	Tailscale Tailscale
	Access    Access
	Headers   []Header // in the order of the file, which is the order in which they apply
	Metrics   Metrics
	Log       Log
}

// Proxy is the proxy block: where requests come in, where they go, and the limits between.
type Proxy struct {
	// ListenAddr is host:port, used only when systemd passed no socket. The host is an IP address,
	// "localhost" or empty (every address); port 0 lets the kernel choose. Needs a restart. Default
	// "127.0.0.1:8080".
	ListenAddr string
	// UpstreamURL has a scheme (http or https) and a host, nothing else. http is accepted only for
	// loopback and tailnet addresses. Default https://api.anthropic.com.
	UpstreamURL *url.URL
	// UpstreamCAFile is the absolute path of a PEM file whose certificates are trusted besides the
	// system's; empty: the system's alone.
	UpstreamCAFile string
	// UpstreamCAs are the certificates in UpstreamCAFile that can be used, in PEM: one at least
	// where there is a file. The others are in Warnings.
	UpstreamCAs []byte
	// UpstreamProxies are the HTTP CONNECT proxies between us and the upstream (RFC 9110, section
	// 9.3.6), http or https with host and port, in the order in which they are tried; 8 at most.
	// Empty: no proxy.
	UpstreamProxies []*url.URL
	// ConnectTimeout bounds DNS, TCP and TLS together. 10ms to 5m, default 5s.
	ConnectTimeout time.Duration
	// ResponseHeaderTimeout bounds the wait for the upstream's response to begin. 10ms to 24h,
	// default 11m: longer than the clients wait.
	ResponseHeaderTimeout time.Duration
	// IdleTimeout bounds the time without a byte in either direction. 10ms to 24h, default 6m:
	// longer than the clients wait.
	IdleTimeout time.Duration
	// MaxConnections is how many requests may be in flight; more wait in the queue. 1 to 1000000,
	// default 1000.
	MaxConnections int
	// MaxConnectionsPerClient is the same for one client; 0: no limit of its own. 0 to 1000000,
	// default 0.
	MaxConnectionsPerClient int
	// QueueLimit is how many requests may wait; 0: none. 0 to 1000000, default 1000.
	QueueLimit int
	// QueueTimeout bounds the wait in the queue. 10ms to 1h, default 30s.
	QueueTimeout time.Duration
	// MaxRequestBody is the largest request body in bytes, streamed, not buffered. 1B to 1024GiB,
	// default 512MiB.
	MaxRequestBody int64
	// DrainTimeout is the time from the signal to the exit. 10ms to 1h, default 5s.
	DrainTimeout time.Duration
	// HandoverTimeout is how long the old process may serve its open streams after an upgrade. 10ms
	// to 24h, default 1h.
	HandoverTimeout time.Duration
	Retry           Retry

	warnings []string // of UpstreamCAFile
}

// Retry is the proxy.retry block: sending a request again that the upstream provably never
// processed.
type Retry struct {
	// Attempts is how often a request is sent at most, the first time included; 1: never again. 1
	// to 10, default 3.
	Attempts int
	// Backoff is the wait before the first further attempt. 1ms to 1m, default 100ms.
	Backoff time.Duration
	// Memory is the budget in bytes for all request bodies kept for replay together. 1KiB to 64GiB,
	// default 64MiB.
	Memory int64
}

// Tailscale is the tailscale block: the tailnet that the daemon serves.
type Tailscale struct {
	// Required is false to serve without a tailnet. Default true.
	Required bool
	// WhenDown is what a start without a tailnet leads to. Default Wait.
	WhenDown WhenDown
	// Socket is the absolute path of tailscaled's socket; empty: Tailscale's own default. Needs a
	// restart. Default empty.
	Socket string
}

// WhenDown is what the daemon does when it starts and the tailnet is down.
type WhenDown string

const (
	Wait WhenDown = "wait" // serve local clients and wait for the tailnet
	Exit WhenDown = "exit" // try again five times, then leave
)

// Access is the access block: who may send requests.
type Access struct {
	// Allow is never empty. Default "local" and "tailnet".
	Allow []Source
	// Browsers are the origins of web pages that may send cross-origin requests, as browsers spell
	// them; "*" is any. Default none.
	Browsers []string
}

// Metrics is the metrics block: who may read the metrics, and where else they are written.
type Metrics struct {
	// Allow may be empty: nobody. Default "local" and "tailnet".
	Allow []Source
	// Textfile is the absolute path, ending in .prom, of a file for node_exporter's textfile
	// collector; empty: none. Default empty.
	Textfile string
	// TextfileInterval is the time between two writes. 100ms to 1h, default 15s.
	TextfileInterval time.Duration
}

// Log is the log block.
type Log struct {
	// Level is debug, info, warn or error in the file. Default info.
	Level slog.Level
	// Format is auto, journal, text or json. Default auto.
	Format string
	// Identity says how users and nodes appear: full, hashed or none. Default full.
	Identity string
}
