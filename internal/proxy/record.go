package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// statusClientGone stands in the log and in metrics for a client that went away
// before the end; nobody receives it. nginx named it.
const statusClientGone = 499

// maxLoggedPath is how much of a path is logged.
const maxLoggedPath = 512

// The phases of a request, for the log and for metrics.
const (
	phaseReading    = "reading"
	phaseQueued     = "queued"
	phaseConnecting = "connecting"
	phaseSending    = "sending"
	phaseStreaming  = "streaming"
)

// record is what is written down of a request: names, sizes and times; never the
// value of a header other than the client's session id, never a body.
type record struct {
	id         string
	method     string
	path       string
	session    string
	credential string
	identity   Identity
	rules      []ruleOutcome

	start     time.Time
	duration  time.Duration
	firstByte time.Duration // 0: no answer of the upstream began
	received  int64         // bytes of the request body
	sent      int64         // bytes of the answer's body
	attempts  int
	current   string // phase

	status     int
	upstreamID string
	outcome    string
	failure    *failure
}

// ruleOutcome is what one rule did.
type ruleOutcome struct {
	header string
	result RuleResult
}

func (r *record) begin(in *http.Request, _ *clientConn) {
	r.start = time.Now()
	r.id = requestID(in.Header)
	r.method = in.Method
	r.path = rawPath(in)
	if len(r.path) > maxLoggedPath {
		r.path = r.path[:maxLoggedPath] + "…"
	}
	r.session = loggedSession(in.Header.Get("X-Claude-Code-Session-Id"))
	r.credential = credentialKind(in.Header)
	r.current = phaseReading
}

// loggedSession bounds what a client can write into the log.
func loggedSession(id string) string {
	const longest = 64
	return id[:min(len(id), longest)]
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

func (r *record) phase(p string) { r.current = p }

func (r *record) rule(header string, result RuleResult) {
	r.rules = append(r.rules, ruleOutcome{header, result})
}

// began: the upstream's answer began.
func (r *record) began(answer *http.Response) {
	r.firstByte = time.Since(r.start)
	r.current = phaseStreaming
	r.status = answer.StatusCode
	r.upstreamID = answer.Header.Get("Request-Id")
}

// whole: the upstream's answer was passed on to its end.
func (r *record) whole() { r.outcome = "ok" }

// clientGone: nobody is there to be answered.
func (r *record) clientGone(bool) {
	r.status = statusClientGone
	r.outcome = "client_gone"
}

// failed: the client got an answer of ours.
func (r *record) failed(f *failure) { r.outcome, r.failure = string(f.code), f }

// cut: the answer broke off.
func (r *record) cut(f *failure) { r.outcome, r.failure = string(f.code), f }

// record counts the request and logs it.
func (p *Proxy) record(x *exchange) {
	r := &x.rec
	p.metrics.observe(r)
	level := slog.LevelInfo
	if r.failure != nil && r.failure.code.status() >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	if r.failure != nil && r.failure.code == CodeAccessDenied {
		if !p.access.firstDenial(x.client) {
			return
		}
		level = slog.LevelWarn
	}
	if p.log.Enabled(context.Background(), level) {
		p.log.LogAttrs(context.Background(), level, "request", r.attrs(x.cfg.LogIdentity)...)
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

// attrs are the fields of the log line.
func (r *record) attrs(shown func(string) string) []slog.Attr {
	attrs := make([]slog.Attr, 0, 24)
	attrs = append(attrs,
		slog.String("request_id", r.id), slog.String("method", r.method), slog.String("path", r.path),
		slog.Int("status", r.status), slog.Duration("duration", r.duration))
	if r.firstByte > 0 {
		attrs = append(attrs, slog.Duration("first_byte", r.firstByte))
	}
	attrs = append(attrs, slog.Int64("bytes_in", r.received), slog.Int64("bytes_out", r.sent))
	attrs = append(attrs, r.identity.attrs(shown)...)
	if r.session != "" {
		attrs = append(attrs, slog.String("session", r.session))
	}
	attrs = append(attrs, slog.String("credential", r.credential))
	if len(r.rules) > 0 {
		attrs = append(attrs, slog.String("header_rules", rulesText(r.rules)))
	}
	if r.upstreamID != "" {
		attrs = append(attrs, slog.String("upstream_request_id", r.upstreamID))
	}
	attrs = append(attrs, slog.Int("attempts", r.attempts), slog.String("outcome", r.outcome))
	if r.outcome != "ok" {
		attrs = append(attrs, slog.String("phase", r.current))
	}
	if r.failure != nil {
		attrs = append(attrs, slog.String("error", loggable(r.failure)))
	}
	return attrs
}

// loggable is the text of an error without the bytes of a request or an answer that
// net/http quotes in its own.
func loggable(err error) string {
	text := err.Error()
	var b strings.Builder
	for {
		before, rest, quoted := strings.Cut(text, `"`)
		b.WriteString(before)
		if !quoted {
			return b.String()
		}
		b.WriteString(`"…"`)
		text = rest[quotedLength(rest):]
	}
}

// quotedLength is the length of what is left of a quoted string, its end included.
func quotedLength(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}
