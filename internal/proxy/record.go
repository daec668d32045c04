package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/term"
)

// statusClientGone means in the log and in metrics that the client disconnected or stopped reading
// before the end, as in nginx. We never send it, but an upstream may.
const statusClientGone = 499

// How many bytes of a text from a client or the upstream are kept.
const (
	keptMethod = 32
	keptPath   = 512
	keptName   = 128 // of a person, or the upstream's ID of a request
	keptError  = 2048
	shownPath  = 64 // in the message of a log line
)

// The outcomes of a request, besides the codes of failures.
const (
	outcomeOK         = "ok"
	outcomeClientGone = "client_gone"
	outcomeErrorEvent = "error_event"   // of the upstream, at the end of a stream
	outcomeIncomplete = "incomplete"    // the upstream ended a message properly, but early
	outcomeForeign    = "no_request_id" // a complete error, redirect or web page that may not be the API's
)

// The phases of a request, for the log and for metrics.
const (
	phaseReading    = "reading"
	phaseQueued     = "queued"
	phaseConnecting = "connecting"
	phaseSending    = "sending"
	phaseWaiting    = "waiting" // for the response, after the whole request was sent
	phaseStreaming  = "streaming"
)

// record is the [Trace] of a request while it grows. Who may use it:
//
//	                    its exchange              other goroutines
//	names of senders    uses them with mu         ForgetSenders removes them, with mu
//	the rest of Trace   writes it with mu,        read copies (trace), made with mu
//	                    reads it without
//	sent, events        atomic
//	the other fields    alone, up to flights.end; nobody writes them later
type record struct {
	sent     atomic.Int64  // bytes of the response body
	events   eventCounts   // of a stream
	admitted bool          // by access
	left     bool          // the client did not stay to the end
	webPage  bool          // the response to a message is a web page, not the API's
	silence  time.Duration // of the upstream when the request ended, if it had to act

	mu sync.Mutex
	Trace
	usual [5]StepTrace // space for the steps of a normal request
}

func newRecord(in *http.Request, listener string) *record {
	r := &record{}
	r.Trace = Trace{
		RequestID: strings.Clone(requestID(in.Header)), Listener: listener, Started: time.Now(),
		Method: kept(in.Method, keptMethod), Path: kept(rawPath(in), keptPath),
		TraceID: traceID(in.Header), Session: sessionID(in.Header), Credential: credentialKind(in.Header),
		Client: clientName(in.Header), Steps: r.usual[:0],
	}
	r.enter(phaseReading, "")
	return r
}

// kept returns a copy of text without tokens, cut to limit bytes. A substring would keep the
// original in memory, such as a request line of 64 KiB.
func kept(text string, limit int) string {
	return strings.Clone(term.Cut(term.Mask(text), limit))
}

// keptText returns the text of an error without quoted bytes of a peer. The issuer of a certificate
// is added: it is public, and reveals a proxy that inspects TLS.
func keptText(err error) string {
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(bad.UnverifiedCertificates) > 0 {
		return kept(fmt.Sprintf("%v (issued by %q)", err, bad.UnverifiedCertificates[0].Issuer), keptError)
	}
	return term.Unquoted(kept(err.Error(), keptError))
}

// credentialKind names the kind of credential, without any part of it.
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

// change runs f on the trace, with the lock held.
func (r *record) change(f func(t *Trace)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.Trace)
}

// enter starts a phase. detail explains it, or is "".
func (r *record) enter(phase, detail string) {
	r.change(func(t *Trace) {
		t.Steps = append(t.Steps, StepTrace{At: millis(time.Since(r.Started)), Phase: phase, Detail: detail})
	})
}

// attempt records the start of an attempt; after says why the one before failed.
func (r *record) attempt(after string) {
	r.change(func(t *Trace) { t.Attempts++ })
	if after != "" {
		after = fmt.Sprintf("attempt %d, after: %s", r.Attempts, after)
	}
	r.enter(phaseConnecting, after)
}

// began records the header of the upstream's response, and the account whose limits it names.
func (r *record) began(response *http.Response, stream, account string) {
	r.enter(phaseStreaming, "")
	r.change(func(t *Trace) {
		t.FirstByte, t.Stream, t.Account = max(millis(time.Since(r.Started)), 0.001), stream, account
		t.Status, t.UpstreamRequestID = response.StatusCode, kept(response.Header.Get("Request-Id"), keptName)
	})
	r.webPage = r.isMessage() && r.UpstreamRequestID == "" && mediaType(response.Header) == "text/html"
}

// isSuccess reports whether the response of the upstream is one of the API below 300, or a 304.
func (r *record) isSuccess() bool {
	return (r.Status < http.StatusMultipleChoices || r.Status == http.StatusNotModified) && !r.webPage
}

// isMessage reports whether the request asks for a message of a model.
func (r *record) isMessage() bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/v1/messages")
}

// setOutcome records how the request ended, and the text of an error. Without a text it looks at
// what came: a response may be complete, and yet not be the API's, or be half of a message.
func (x *exchange) setOutcome(outcome, text string) {
	r, complete := x.rec, outcome == outcomeOK
	switch message := complete && r.Status < http.StatusMultipleChoices && r.isMessage() && !r.webPage; {
	case text != "":
	case x.sse.failing:
		outcome, text = outcomeErrorEvent, "the upstream ended the stream with an error event"
	case message && r.sent.Load() == 0:
		outcome, text = outcomeIncomplete, "the upstream sent an empty response to a message"
	case message && x.sse.unfinished:
		outcome, text = outcomeIncomplete, "the upstream ended the stream before message_stop"
	case complete && !r.isSuccess() && r.UpstreamRequestID == "":
		outcome, text = outcomeForeign, "the response has no request-id, which the API always sends: a proxy, firewall or portal on the path may have sent it"
	}
	r.change(func(t *Trace) { t.Outcome, t.Error = outcome, text })
}

// failure returns what the failure of the request means, if it failed.
func (r *record) failure() (meaning codeMeaning, failed bool) {
	meaning, failed = codeTable[Code(r.Outcome)]
	return meaning, failed
}

// leave records that the client left before the end.
func (r *record) leave() {
	r.left = true
	r.setStatus(statusClientGone)
}

func (r *record) setStatus(status int) { r.change(func(t *Trace) { t.Status = status }) }

// close records what is known only at the end.
func (r *record) close(received int64) {
	r.change(func(t *Trace) { t.BytesIn, t.Duration = received, millis(time.Since(r.Started)) })
}

// record counts the request and logs it.
func (p *Proxy) record(x *exchange) {
	x.rec.silence = x.upstreamSilence()
	p.metrics.observe(x.rec)
	p.outcomes.ended(x.rec, time.Now())
	suppressed := 0
	if !x.rec.admitted {
		var due bool
		if suppressed, due = p.denials.Due(x.ticket.person); !due {
			return
		}
	}
	level := x.logLevel()
	if !p.Log.Enabled(context.Background(), level) {
		return
	}
	t := x.rec.trace()
	attrs := t.attrs()
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	r := slog.NewRecord(time.Now(), level, t.line(), 0)     // slog.Logger would look for the caller's line of code
	r.AddAttrs(slog.Attr{Value: slog.GroupValue(attrs...)}) // one without a name is inlined, and spares a copy
	_ = p.Log.Handler().Handle(context.Background(), r)     // the log counts what it loses
}

// upstreamSilence returns how long the upstream has been silent, if it is the side that must act.
func (x *exchange) upstreamSilence() time.Duration {
	switch {
	case x.rec.FirstByte > 0 && x.rec.sent.Load() == 0: // the watch counts the last flush of the header
		return (x.rec.Duration - x.rec.FirstByte).Duration()
	case waitingFor(x.watch.waiting.Load()).side() == WaitsForUpstream:
		return x.watch.silence()
	}
	return 0
}

func (x *exchange) logLevel() slog.Level {
	meaning, _ := x.rec.failure()
	switch {
	case !x.rec.admitted, meaning.status >= http.StatusInternalServerError:
		return slog.LevelWarn
	case isPreface(x.in):
		return slog.LevelDebug // a client that tried HTTP/2 has sent no request
	default:
		return slog.LevelInfo
	}
}

// line returns the message of a log line: "POST /v1/messages 200 9960ms alice@build-1 oauth".
func (t Trace) line() string {
	took := strconv.FormatFloat(float64(t.Duration), 'f', 0, 64) + "ms"
	words := []string{t.Method, term.Cut(t.Path, shownPath), strconv.Itoa(t.Status), took, t.shortWho(), t.Credential}
	if t.Outcome != outcomeOK {
		words = append(words, t.Outcome)
	}
	return strings.TrimLeft(strings.Join(words, " "), " ") // a request that net/http refused has no method and no path
}

// attrs returns the fields of a log line. Empty texts are left out.
func (t Trace) attrs() []slog.Attr {
	phase := t.Phase()
	if t.Outcome == outcomeOK {
		phase = ""
	}
	attrs := []slog.Attr{
		slog.String("request_id", t.RequestID), slog.String("method", t.Method), slog.String("path", t.Path),
		slog.Int("status", t.Status), slog.Duration("duration", t.Duration.Duration()),
		slog.Duration("first_byte", t.FirstByte.Duration()),
		slog.Int64("bytes_in", t.BytesIn), slog.Int64("bytes_out", t.BytesOut),
		slog.String("source", string(t.Source)), slog.String("node", t.Node), slog.String("user", t.User),
		slog.String("tags", strings.Join(t.Tags, ",")), slog.String("address", t.Address), slog.String("person", t.Person),
		slog.String("session", t.Session), slog.String("account", t.Account), slog.String("client", t.Client), slog.String("trace_id", t.TraceID),
		slog.String("credential", t.Credential), slog.String("header_rules", rulesText(t.HeaderRules)),
		slog.String("upstream_request_id", t.UpstreamRequestID), slog.Int("attempts", t.Attempts),
		slog.String("outcome", t.Outcome), slog.String("phase", phase), slog.String("error", t.Error),
	}
	return slices.DeleteFunc(attrs, func(a slog.Attr) bool {
		return a.Key == "first_byte" && t.FirstByte == 0 || a.Value.Kind() == slog.KindString && a.Value.String() == ""
	})
}

// rulesText returns "name=result" for each rule.
func rulesText(rules []RuleTrace) string {
	texts := make([]string, len(rules))
	for i, rule := range rules {
		texts[i] = rule.Header + "=" + rule.Result
	}
	return strings.Join(texts, ",")
}
