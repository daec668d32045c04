package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/inbound"
)

// statusClientGone stands in the log and in metrics for a client that went away
// before the end; nobody receives it. nginx named it.
const statusClientGone = 499

// What is kept of the texts that clients and upstreams send, in bytes. None of them bounds what
// it sends by itself.
const (
	keptMethod     = 32
	keptPath       = 512
	keptSession    = 64
	keptUpstreamID = 128
	keptError      = 2048
)

// The outcomes of a request beside the codes of failures.
const (
	outcomeOK         = "ok"
	outcomeClientGone = "client_gone"
)

// The phases of a request, for the log and for metrics.
const (
	phaseReading    = "reading"
	phaseQueued     = "queued"
	phaseConnecting = "connecting"
	phaseSending    = "sending"
	phaseStreaming  = "streaming"
)

// record is what is written down of a request: names, sizes and times; never the
// value of a header other than the client's session id, never a body. Only its
// exchange writes it; others look at it while it grows (flight.go).
type record struct {
	// What does not change any more.
	id         string
	method     string
	path       string
	listener   string
	session    string
	credential string
	start      time.Time
	usual      [4]step // room for the steps of a request that goes well

	admitted bool // by access; only for the exchange, and once it has ended

	sent atomic.Int64 // bytes of the answer's body

	mu         sync.Mutex      // held to write the rest, and by others to read it
	identity   access.Identity // as the log names it
	address    string          // likewise, of a sender that nothing else names
	rules      []ruleOutcome
	steps      []step
	duration   time.Duration
	firstByte  time.Duration // 0: no answer of the upstream began
	received   int64         // bytes of the request body
	attempts   int
	status     int
	upstreamID string
	outcome    string
	code       Code   // of the failure; empty if there was none of ours
	err        string // that failure in words
}

// ruleOutcome is what one rule did.
type ruleOutcome struct {
	header string
	result RuleResult
}

// step is the beginning of a phase.
type step struct {
	at    time.Duration // since the start
	phase string
	conn  uint64 // in phaseSending, the number of the connection, and how many
	use   uint64 // requests it was given, this one included
	after string // why the attempt before failed, if there was one
}

func newRecord(in *http.Request, listener string) *record {
	r := &record{
		start: time.Now(), id: strings.Clone(requestID(in.Header)), listener: listener,
		method: kept(in.Method, keptMethod), path: kept(rawPath(in), keptPath),
		session: kept(in.Header.Get("X-Claude-Code-Session-Id"), keptSession), credential: credentialKind(in.Header),
	}
	r.steps = r.usual[:0]
	r.enter(step{phase: phaseReading})
	return r
}

// kept is a copy of the first most bytes of text. A substring would keep all that it was cut
// from, such as a request line of 64 KiB.
func kept(text string, most int) string {
	if len(text) > most {
		return text[:most] + "…"
	}
	return strings.Clone(text)
}

// keptText is what is kept of the text of an error, which may quote what a peer sent.
func keptText(err error) string {
	return inbound.Unquoted(kept(err.Error(), keptError))
}

// credentialKind names the kind of credential and nothing of it.
func credentialKind(h http.Header) string {
	bearer := bearerToken(h)
	switch {
	case strings.HasPrefix(bearer, "sk-ant-oat"):
		return "oauth"
	case strings.HasPrefix(bearer, "sk-ant-api"), bearer == "" && len(h["X-Api-Key"]) > 0:
		return "api_key"
	case bearer != "" || len(h["Authorization"]) > 0:
		return "other"
	default:
		return "none"
	}
}

// enter begins a phase.
func (r *record) enter(s step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.at = time.Since(r.start)
	r.steps = append(r.steps, s)
}

// phase is the current one. It is for the exchange, like all that does not lock.
func (r *record) phase() string { return r.steps[len(r.steps)-1].phase }

// identify: who sent the request, and from which address if nothing else names them. Both are
// as the log names them.
func (r *record) identify(id access.Identity, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.identity, r.address = id, address
}

// anonymize forgets who sent the request.
func (r *record) anonymize() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.identity, r.address = access.Identity{Source: r.identity.Source}, ""
}

// shownAddress is the address of a sender that nothing else names, as the log names it. An
// address identifies a node as much as a name does.
func (x *exchange) shownAddress(id access.Identity) string {
	if id.Source != access.Other || !x.client.IsValid() {
		return ""
	}
	if x.cfg.LogIdentity == nil {
		return x.client.String()
	}
	return x.cfg.LogIdentity(x.client.String())
}

func (r *record) rule(header string, result RuleResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules = append(r.rules, ruleOutcome{header, result})
}

// attempt: one more begins; after is why the one before failed.
func (r *record) attempt(after string) {
	r.mu.Lock()
	r.attempts++
	r.mu.Unlock()
	r.enter(step{phase: phaseConnecting, after: after})
}

// began: the upstream's answer began.
func (r *record) began(answer *http.Response) {
	r.enter(step{phase: phaseStreaming})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.firstByte = time.Since(r.start)
	r.status = answer.StatusCode
	r.upstreamID = kept(answer.Header.Get("Request-Id"), keptUpstreamID)
}

// ended: what became of the request. A failure is nil if there was none of ours.
func (r *record) ended(outcome string, f *failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcome = outcome
	if f != nil {
		r.code, r.err = f.code, keptText(f)
	}
}

// answered: the client got this status from us.
func (r *record) answered(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// close writes down what is known only now.
func (r *record) close(received int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received = received
	r.duration = time.Since(r.start)
}

// record counts the request and logs it.
func (p *Proxy) record(x *exchange) {
	p.metrics.observe(x.rec)
	suppressed := 0
	if !x.rec.admitted {
		var due bool
		if suppressed, due = p.denials.Due(x.person); !due {
			return
		}
	}
	level := x.logLevel()
	if !p.log.Enabled(context.Background(), level) {
		return
	}
	attrs := x.rec.result()
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	p.log.LogAttrs(context.Background(), level, "request", attrs...)
}

// logLevel is that of the line about a request.
func (x *exchange) logLevel() slog.Level {
	code := x.rec.code
	switch {
	case !x.rec.admitted:
		return slog.LevelWarn
	case code != "" && code.meaning().status >= http.StatusInternalServerError:
		return slog.LevelWarn
	case isPreface(x.in):
		return slog.LevelDebug // a client that tries another protocol has sent no request
	default:
		return slog.LevelInfo
	}
}

// rulesText is "name=result" for each rule.
func rulesText(rules []ruleOutcome) string {
	texts := make([]string, len(rules))
	for i, o := range rules {
		texts[i] = strings.ToLower(o.header) + "=" + string(o.result)
	}
	return strings.Join(texts, ",")
}

// result is the fields of the log line of a request that has ended.
func (r *record) result() []slog.Attr {
	const most = 24
	attrs := r.appendName(make([]slog.Attr, 0, most))
	attrs = append(attrs, slog.Int("status", r.status), slog.Duration("duration", r.duration))
	if r.firstByte > 0 {
		attrs = append(attrs, slog.Duration("first_byte", r.firstByte))
	}
	attrs = append(attrs, slog.Int64("bytes_in", r.received), slog.Int64("bytes_out", r.sent.Load()))
	attrs = r.appendSender(attrs)
	if len(r.rules) > 0 {
		attrs = append(attrs, slog.String("header_rules", rulesText(r.rules)))
	}
	if r.upstreamID != "" {
		attrs = append(attrs, slog.String("upstream_request_id", r.upstreamID))
	}
	attrs = append(attrs, slog.Int("attempts", r.attempts), slog.String("outcome", r.outcome))
	if r.outcome != outcomeOK {
		attrs = append(attrs, slog.String("phase", r.phase()))
	}
	if r.err != "" {
		attrs = append(attrs, slog.String("error", r.err))
	}
	return attrs
}

// appendName adds what tells the request from others.
func (r *record) appendName(attrs []slog.Attr) []slog.Attr {
	return append(attrs, slog.String("request_id", r.id), slog.String("method", r.method), slog.String("path", r.path))
}

// appendSender adds who sent it.
func (r *record) appendSender(attrs []slog.Attr) []slog.Attr {
	attrs = r.identity.AppendAttrs(attrs)
	if r.address != "" {
		attrs = append(attrs, slog.String("address", r.address))
	}
	if r.session != "" {
		attrs = append(attrs, slog.String("session", r.session))
	}
	return append(attrs, slog.String("credential", r.credential))
}
