package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/ratelimit"
)

// statusClientGone stands in the log and in metrics for a client that went away before the end;
// nobody receives it. nginx named it.
const statusClientGone = 499

// What is kept of the texts that clients and upstreams send, in bytes. None of them bounds what it
// sends.
const (
	keptMethod     = 32
	keptPath       = 512
	keptSession    = 64
	keptPerson     = 128
	keptUpstreamID = 128
	keptError      = 2048
	shownPath      = 64 // in the line for the eye
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
	phaseWaiting    = "waiting" // for the response to the whole request
	phaseStreaming  = "streaming"
)

// phases are all of them.
func phases() []string {
	return []string{phaseReading, phaseQueued, phaseConnecting, phaseSending, phaseWaiting, phaseStreaming}
}

// record is the [Trace] of a request while it grows. Only its exchange writes it, so that this
// reads it without the lock; others see copies of it (flight.go).
type record struct {
	start    time.Time
	admitted bool         // by access; only for the exchange, and once it has ended
	code     Code         // of the failure; empty if there was none of ours. Likewise
	sent     atomic.Int64 // bytes of the response's body
	events   eventCounts  // of a stream
	usual    [5]StepTrace // room for the steps of a request that goes well

	mu sync.Mutex // held to write the rest, and by others to read it
	Trace
}

func newRecord(in *http.Request, listener string) *record {
	r := &record{start: time.Now()}
	r.Trace = Trace{
		RequestID: strings.Clone(requestID(in.Header)), Listener: listener, Started: r.start,
		Method: kept(in.Method, keptMethod), Path: kept(rawPath(in), keptPath),
		TraceID: traceID(in.Header), Session: kept(in.Header.Get("X-Claude-Code-Session-Id"), keptSession), Credential: credentialKind(in.Header),
		Client: clientName(in.Header), Steps: r.usual[:0],
	}
	r.enter(phaseReading, "")
	return r
}

// kept is a copy of the first most bytes of text. A substring would keep all that it was cut from,
// such as a request line of 64 KiB.
func kept(text string, most int) string {
	if len(text) > most {
		return text[:most] + "…"
	}
	return strings.Clone(text)
}

// keptText is what is kept of the text of an error, which may quote what a peer sent. A certificate
// is no secret: its issuer tells a proxy that inspects TLS.
func keptText(err error) string {
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(bad.UnverifiedCertificates) > 0 {
		return kept(fmt.Sprintf("%v (issued by %q)", err, bad.UnverifiedCertificates[0].Issuer), keptError)
	}
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

// change writes to the trace.
func (r *record) change(f func(t *Trace)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.Trace)
}

// enter begins a phase. detail says what the phase alone does not.
func (r *record) enter(phase, detail string) {
	r.change(func(t *Trace) {
		t.Steps = append(t.Steps, StepTrace{At: millis(time.Since(r.start)), Phase: phase, Detail: detail})
	})
}

// addWaiting ends the phase sending if the upstream has the whole request. Who reads the body knows
// when that was, and must not write the record.
func (x *exchange) addWaiting(t *Trace) {
	if sent := x.watch.sent.Load(); sent > 0 && t.Phase() == phaseSending {
		t.Steps = append(t.Steps, StepTrace{At: millis(time.Duration(sent)), Phase: phaseWaiting})
	}
}

// identify names who sent the request, and their address if nothing else names them. Both are as
// the log names them.
func (r *record) identify(id access.Identity, address string) {
	r.change(func(t *Trace) {
		t.Source, t.Node, t.User, t.Tags, t.Address = id.Source, id.Node, id.User, id.Tags, address
		t.Person, t.PersonDoubt = id.Person, id.Doubt
	})
}

// shownAddress is the address of a sender that nothing else names, as the log names it. An address
// identifies a node as much as a name does.
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
	r.change(func(t *Trace) { t.HeaderRules = append(t.HeaderRules, RuleTrace{header, result}) })
}

// stepped is when the latest step began.
func (r *record) stepped() time.Time {
	return r.start.Add(r.Steps[len(r.Steps)-1].At.Duration())
}

// attempt begins another one; after is why the one before failed.
func (r *record) attempt(after string) {
	r.change(func(t *Trace) { t.Attempts++ })
	if after != "" {
		after = fmt.Sprintf("attempt %d, after: %s", r.Attempts, after)
	}
	r.enter(phaseConnecting, after)
}

// began records the header of the upstream's response.
func (r *record) began(response *http.Response, stream string) {
	r.enter(phaseStreaming, "")
	r.change(func(t *Trace) {
		t.FirstByte, t.Stream = max(millis(time.Since(r.start)), 0.001), stream
		t.Status, t.UpstreamRequestID = response.StatusCode, kept(response.Header.Get("Request-Id"), keptUpstreamID)
	})
}

// ended records what became of the request. A failure is nil if there was none of ours.
func (r *record) ended(outcome string, f *failure) {
	if f != nil {
		r.code = f.code
	}
	r.change(func(t *Trace) {
		t.Outcome = outcome
		if f != nil {
			t.Error = keptText(f)
		}
	})
}

// responded records the status of our own response.
func (r *record) responded(status int) { r.change(func(t *Trace) { t.Status = status }) }

// close records what is known only now.
func (r *record) close(received int64) {
	r.change(func(t *Trace) { t.BytesIn, t.Duration = received, millis(time.Since(r.start)) })
}

// record counts the request and logs it.
func (p *Proxy) record(x *exchange) {
	p.metrics.observe(x.rec)
	suppressed := 0
	if !x.rec.admitted {
		var due bool
		if suppressed, due = p.denials.Due(x.ticket.person); !due {
			return
		}
	}
	level := x.logLevel()
	if !p.log.Enabled(context.Background(), level) {
		return
	}
	t := x.rec.trace()
	attrs := t.attrs()
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	p.log.LogAttrs(context.Background(), level, t.line(), attrs...)
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

// line is the request for the eye: "POST /v1/messages 200 9960ms alice@build-1 oauth".
func (t Trace) line() string {
	words := []string{t.Method, kept(t.Path, shownPath), strconv.Itoa(t.Status), fmt.Sprintf("%.0fms", float64(t.Duration)), t.who(), t.Credential}
	if t.Outcome != outcomeOK {
		words = append(words, t.Outcome)
	}
	return strings.Join(words, " ")
}

// who is the short name of the sender, or else what is known.
func (t Trace) who() string {
	user, _, _ := strings.Cut(cmp.Or(t.Person, t.User, strings.Join(t.Tags, ",")), "@")
	node, _, _ := strings.Cut(t.Node, ".")
	if user != "" && node != "" {
		user += "@"
	}
	return cmp.Or(user+node, t.Address, string(t.Source))
}

// attrs are the fields of the log line of a request that has ended. What is empty is left out.
func (t Trace) attrs() []slog.Attr {
	const most = 25
	attrs := append(make([]slog.Attr, 0, most), t.names()...)
	attrs = append(attrs, slog.Int("status", t.Status), slog.Duration("duration", t.Duration.Duration()))
	if t.FirstByte > 0 {
		attrs = append(attrs, slog.Duration("first_byte", t.FirstByte.Duration()))
	}
	attrs = append(attrs, slog.Int64("bytes_in", t.BytesIn), slog.Int64("bytes_out", t.BytesOut))
	attrs = append(attrs, t.sender()...)
	attrs = appendText(attrs, "header_rules", rulesText(t.HeaderRules))
	attrs = appendText(attrs, "upstream_request_id", t.UpstreamRequestID)
	attrs = append(attrs, slog.Int("attempts", t.Attempts), slog.String("outcome", t.Outcome))
	if t.Outcome != outcomeOK {
		attrs = append(attrs, slog.String("phase", t.Phase()))
	}
	return appendText(attrs, "error", t.Error)
}

// limitUser is who used a rate limit. Of the senders that the log does not name, only this host is
// known to be one.
func (t Trace) limitUser() ratelimit.User {
	person := cmp.Or(t.Person, t.User, t.Node, strings.Join(t.Tags, ","), t.Address)
	if person == "" && t.Source == config.Local {
		person = string(config.Local)
	}
	return ratelimit.User{Person: kept(strings.ToLower(person), keptPerson), Session: t.Session}
}

// names are the fields that tell the request from others.
func (t Trace) names() []slog.Attr {
	return []slog.Attr{slog.String("request_id", t.RequestID), slog.String("method", t.Method), slog.String("path", t.Path)}
}

// sender are the fields of who sent it.
func (t Trace) sender() []slog.Attr {
	attrs := []slog.Attr{slog.String("source", string(t.Source))}
	attrs = appendText(attrs, "node", t.Node)
	attrs = appendText(attrs, "user", t.User)
	attrs = appendText(attrs, "tags", strings.Join(t.Tags, ","))
	attrs = appendText(attrs, "address", t.Address)
	attrs = appendText(attrs, "person", t.Person)
	attrs = appendText(attrs, "session", t.Session)
	attrs = appendText(attrs, "client", t.Client)
	attrs = appendText(attrs, "trace_id", t.TraceID)
	return append(attrs, slog.String("credential", t.Credential))
}

func appendText(attrs []slog.Attr, key, text string) []slog.Attr {
	if text == "" {
		return attrs
	}
	return append(attrs, slog.String(key, text))
}

// rulesText is "name=result" for each rule.
func rulesText(rules []RuleTrace) string {
	texts := make([]string, len(rules))
	for i, rule := range rules {
		texts[i] = rule.Header + "=" + string(rule.Result)
	}
	return strings.Join(texts, ",")
}
