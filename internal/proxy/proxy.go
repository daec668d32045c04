package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/ratelimit"
	"oauth-proxyd/internal/upstream"
)

// Config is what a reload cannot change in a [Proxy].
type Config struct {
	// Host is this machine's name, for our error messages.
	Host string
	// Log gets one record per request. The request path calls it directly, so its handler must not
	// block.
	Log *slog.Logger
	// Registerer gets the package's metrics, which it must not have yet.
	Registerer prometheus.Registerer
	// Tailnet is the host's tailscaled, or nil if no tailnet is required.
	Tailnet access.Tailnet
	// Upstream has the replacements for DNS and TCP, if any, as in a test; [Settings] has the rest.
	Upstream upstream.Config
	// LogLines says where an operator finds the lines of the log with an attribute, or all of them
	// if the key is empty. If nil, there is only "the log".
	LogLines func(key, value string) string
	// OwnName reports whether a request is for an address or a name of this host. If nil, all are.
	OwnName func(*http.Request) bool
}

// Settings are what a reload can change. A request takes one snapshot of them when it arrives and
// keeps it to its end. Limits that all requests share are resized in place.
type Settings struct {
	config.Config
	// LogIdentity returns what the log shows instead of an address or the name of a node, a user or
	// a tag; "" leaves it out. If nil, the log shows the names.
	LogIdentity func(string) string
}

// Proxy is the http.Handler between clients and the upstream. It is safe for concurrent use.
type Proxy struct {
	Config
	metrics *metrics
	queue   *queue
	flights *flights
	loops   *loops
	memory  *bufferBudget
	access  *access.Control
	limits  *ratelimit.Accounts

	outcomes      *outcomes
	cancellations cancellations
	denials       *access.DenialLog

	current atomic.Pointer[snapshot]
}

// snapshot is the settings at one moment, with what is built from them.
type snapshot struct {
	Settings
	pool *upstream.Pool
}

// New returns a proxy with its first settings.
func New(c Config, s Settings) (*Proxy, error) {
	p := &Proxy{
		Config: c, metrics: newMetrics(c.Registerer), outcomes: newOutcomes(c.Registerer, c.LogLines),
		access: access.New(c.Tailnet), denials: access.NewDenialLog(),
		queue: newQueue(s.Proxy), memory: &bufferBudget{}, loops: newLoops(), limits: ratelimit.New(),
		flights: &flights{open: make(map[*exchange]struct{})},
	}
	p.registerQueue(c.Registerer)
	c.Registerer.MustRegister(p.limits, p.flights)
	apply, err := p.Prepare(s)
	if err != nil {
		return nil, err
	}
	apply()
	return p, nil
}

// Prepare builds everything that new settings need, and returns the function that applies them,
// which cannot fail and must be called before the next Prepare, or not at all. Requests in flight
// keep their settings.
func (p *Proxy) Prepare(s Settings) (apply func(), err error) {
	p.metrics.zeroRules(s.Headers)
	next := &snapshot{Settings: s}
	to := p.Upstream
	to.Proxy = s.Proxy
	old := p.current.Load()
	if old != nil && upstream.SameTarget(old.Proxy, to.Proxy) {
		next.pool = old.pool
	} else {
		if next.pool, err = upstream.New(to); err != nil {
			return nil, fmt.Errorf("preparing connections to %s: %w", to.UpstreamURL.Host, err)
		}
	}
	return func() {
		p.queue.resize(next.Proxy)
		p.memory.limit.Store(next.Proxy.Retry.Memory)
		p.current.Store(next)
		if old != nil && old.pool != next.pool {
			old.pool.Retire()
		}
	}, nil
}

// Close closes the connections to the upstream. Requests must have ended before.
func (p *Proxy) Close() { p.current.Load().pool.Close() }

// RateLimits returns what the upstream reported about accounts.
func (p *Proxy) RateLimits() *ratelimit.Accounts { return p.limits }

// Route says how requests reach the upstream; see [upstream.Pool.Route].
func (p *Proxy) Route() upstream.Route { return p.current.Load().pool.Route() }

// ServeHTTP carries one request to its end.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.open(w, r)
	if err := x.carry(); err != nil {
		x.end(err)
	}
	x.close()
	if x.parting != partUsual {
		panic(http.ErrAbortHandler) // net/http closes the connection at once
	}
}

// exchange is one request and its response.
type exchange struct {
	proxy *Proxy
	cfg   *snapshot
	w     http.ResponseWriter
	rc    *http.ResponseController
	in    *http.Request
	conn  *inbound.Conn

	upstream atomic.Pointer[upstream.Conn] // of the latest attempt; nil before the first

	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  watch
	body   *requestBody // nil without one
	rec    *record

	ticket    ticket             // for a slot; zero until the sender is known
	usage     *ratelimit.Request // of the account's rate limit; nil until the request is sent
	headerMu  sync.Mutex         // keeps informational responses before the final one
	responded bool               // the final header was written; guarded by headerMu
	sse       eventScanner       // of a stream of events that is not compressed; unused for other responses
	steady    bool               // the response has carried data for steadyAfter
	torn      bool               // a write failed: the client may have a part of a chunk
	parting   parting            // from the client

	fingerprint uint64 // see arrivedAs; 0: not computed yet
	forwarded   bool   // by another proxy; see arrivedAs
}

func (p *Proxy) open(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{
		proxy: p, cfg: p.current.Load(), w: w, rc: http.NewResponseController(w), in: r,
		conn: inbound.ConnOf(r),
	}
	x.ctx, x.cancel = context.WithCancelCause(x.conn.Context())
	x.conn.CancelWhenGone(x.cancel)
	x.rec = newRecord(r, x.conn.Listener)
	x.takeBody()
	x.watch.x = x
	p.flights.begin(x)
	return x
}

// carry does the steps in order. Its error, which explain translates, says why the client did not
// get the upstream's complete response.
func (x *exchange) carry() (err error) {
	defer func() {
		if v := recover(); v != nil {
			x.proxy.Log.Error("panic in a request; please report it as a bug",
				"request_id", x.rec.RequestID, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = fail(CodeInternal, nil, "internal error; the journal has the details")
		}
	}()
	if err := x.admit(); err != nil {
		return err
	}
	out := x.rewrite()
	response, err := x.send(out)
	if err != nil {
		return err
	}
	return x.stream(response)
}

// close releases what the request holds, and records it.
func (x *exchange) close() {
	x.watch.stop()
	var received int64
	if x.body != nil {
		var whole bool
		received, whole = x.body.close()
		switch {
		case whole:
		case x.parting == partCut: // or net/http would wait for the rest before it closes the connection
			_ = x.rc.SetReadDeadline(time.Unix(1, 0))
		default: // or the rest would be read as the next request
			x.conn.LeaveUnread()
		}
	}
	x.conn.CancelWhenGone(nil)
	x.cancel(nil)
	x.usage.End()
	x.countCancelled()
	x.proxy.queue.leave(&x.ticket)
	x.rec.close(received)
	x.proxy.flights.end(x)
	x.proxy.record(x)
}
