package proxy

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// outcomes judges whether requests work: now, lately, and with each client. It is shown each
// response of the upstream when it begins, and each request when it ends.
type outcomes struct {
	logLines func(key, value string) string

	mu      sync.Mutex // guards the rest
	clients *clients
	recent  recentErrors
	stats   Stats
}

func newOutcomes(r prometheus.Registerer, logLines func(key, value string) string) *outcomes {
	o := &outcomes{logLines: logLines, clients: newClients(r)}
	r.MustRegister(o)
	promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "proxy_upstream_last_success_timestamp_seconds", Help: "When the API last sent a complete response below 500, or a response had carried data for 10 s; 0: not yet.",
	}, func() float64 {
		if t := o.read().LastSuccess; !t.IsZero() {
			return float64(t.UnixMilli()) / 1000
		}
		return 0
	})
	return o
}

// Stats counts requests, and says whether they succeed. A success is a response of the API below
// 300 (or a 304) that is complete, or has carried data for steadyAfter: a stream may last minutes,
// and one that has only begun may still fail. A failure is any other response, one that did not end
// well, or none. A request that its client ended is neither, unless the upstream had been silent
// for silentAfter.
type Stats struct {
	InFlight     int       `json:"in_flight"`
	Queued       int       `json:"queued"`
	Served       uint64    `json:"served"`  // since the start, without those refused
	Failed       uint64    `json:"failed"`  // of these
	Refused      uint64    `json:"refused"` // since the start, because the sender has no access
	CutByDrain   uint64    `json:"cut_by_drain"`
	LastSuccess  time.Time `json:"last_success,omitzero"`  // the last success or complete 4xx of the API; zero: none yet
	LastResponse time.Time `json:"last_response,omitzero"` // when the upstream last began a response
	LastStatus   int       `json:"last_status,omitzero"`   // of LastResponse
	LastFailure  time.Time `json:"last_failure,omitzero"`  // zero: none yet
	Cause        string    `json:"cause,omitzero"`         // of the last failure
	Fix          string    `json:"fix,omitzero"`           // what to do about it
	InARow       int       `json:"in_a_row"`               // failures since the last success
	Since        time.Time `json:"since,omitzero"`         // the first of them
	doubtful     bool      // the last failure may be the client's own fault
	messages     bool      // one of them is of a message, so only a message can succeed after it
}

// Stats returns the current counts.
func (p *Proxy) Stats() Stats {
	s := p.outcomes.read()
	s.InFlight, s.Queued = p.queue.counts()
	return s
}

func (o *outcomes) read() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stats
}

func (o *outcomes) warnings(now time.Time) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return []string{o.recent.warning(now, o), o.clients.warning(now, o)}
}

// see says where the lines of the log with an attribute are.
func (o *outcomes) see(key, value string) string {
	if o.logLines == nil {
		return "see the log"
	}
	return "see " + o.logLines(key, value)
}

// fix says what an operator can do about a failure with the code.
func (o *outcomes) fix(c Code) string {
	return cmp.Or(codeTable[c].fix, o.see("outcome", string(c)))
}

// began judges a response of the upstream that begins.
func (o *outcomes) began(r *record, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clients.judge(r, now)
	o.stats.LastResponse, o.stats.LastStatus = now, r.Status
}

// flowed counts a response that has carried data for steadyAfter.
func (o *outcomes) flowed(r *record, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.isSuccess() {
		o.stats.succeed(r, now)
	}
}

// succeed counts a success. After a failed message only a message proves that messages work.
func (s *Stats) succeed(r *record, now time.Time) {
	s.LastSuccess = now
	if r.isMessage() || !s.messages {
		s.InARow, s.messages = 0, false
	}
}

// ended judges a request that has ended.
func (o *outcomes) ended(r *record, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.admitted {
		o.clients.count(r.Client, r.Status, now)
	}
	o.recent.add(r, now)
	s := &o.stats
	meaning, failed := r.failure()
	if failed && meaning.severity == stranger {
		s.Refused++
		return
	}
	s.Served++
	switch {
	case failed:
		s.Failed++
		if r.FirstByte > 0 && meaning.cutBy == cutByDrain {
			s.CutByDrain++
		}
		s.fail(r, meaning.severity < breakdown, r.Outcome+": "+r.Error, o.fix(Code(r.Outcome)), now)
	case r.Outcome == outcomeErrorEvent:
		s.Failed++
		s.fail(r, false, r.Error, fixAPI, now)
	case r.Outcome == outcomeIncomplete:
		s.Failed++
		s.fail(r, false, r.Error, runDoctor, now)
	case r.Status == statusClientGone:
		if r.silence >= silentAfter {
			s.Failed++
			s.fail(r, true, "the upstream was silent for "+roughly(r.silence)+" when the client left", runDoctor, now)
		}
	default:
		s.complete(r, now)
	}
}

const (
	// steadyAfter is how long a response must have carried data to be a success before its end.
	steadyAfter = 10 * time.Second
	// silentAfter is how long the upstream must have been silent before a client that leaves is a
	// sign of trouble.
	silentAfter = 10 * time.Second
)

// complete counts a complete response of the upstream.
func (s *Stats) complete(r *record, now time.Time) {
	if r.isSuccess() {
		s.succeed(r, now)
		return
	}
	if r.Status < http.StatusInternalServerError && r.UpstreamRequestID != "" {
		s.LastSuccess = now // the path to the API works
	}
	s.Failed++
	cause := strings.TrimSpace(fmt.Sprintf("the upstream responded %d %s", r.Status, http.StatusText(r.Status)))
	if r.webPage && r.sent.Load() > 0 {
		cause += " with a web page"
	}
	s.fail(r, r.Status < http.StatusInternalServerError, cause, fixResponse(r.Status, r.UpstreamRequestID), now)
}

// fail counts a failure. A doubtful failure without a complete response of the API does not replace
// the cause of an earlier breakdown.
func (s *Stats) fail(r *record, doubtful bool, cause, fix string, now time.Time) {
	if doubtful && (r.UpstreamRequestID == "" || r.Status == statusClientGone) && s.InARow > 0 && !s.doubtful {
		return
	}
	if r.FirstByte > 0 && !r.isMessage() {
		cause += fmt.Sprintf(" for %s %s", r.Method, kept(r.Path, shownPath)) // perhaps nothing else fails
	}
	s.InARow++
	if s.InARow == 1 {
		s.Since = now
	}
	s.messages = s.messages || r.isMessage()
	s.LastFailure, s.Cause, s.Fix, s.doubtful = now, cause, fix, doubtful
}

// fewDoubtful is how many failures in a row that may be the clients' own fault count as trouble.
const fewDoubtful = 3

// Trouble says why requests do not succeed and how to fix it, or returns "" if they do.
func (s Stats) Trouble(now time.Time) string {
	noun := "request"
	if s.messages {
		noun = "message"
	}
	switch {
	case s.InARow == 0, s.doubtful && s.InARow < fewDoubtful:
		return ""
	case s.InARow == 1:
		return "the last " + noun + " failed: " + s.Cause + "; " + s.Fix
	}
	return fmt.Sprintf("no %s has succeeded for %s: %s (%d in a row); %s", noun, roughly(now.Sub(s.Since)), s.Cause, s.InARow, s.Fix)
}

func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", max(1, d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

const (
	runDoctor = "run `oauth-proxyd doctor`"
	fixAPI    = "it is the API: see https://status.anthropic.com"
)

// fixResponse says what to do about a response that failed.
func fixResponse(status int, upstreamID string) string {
	switch {
	case upstreamID == "":
		return "the API sends a request-id header with each response, but this one had none: a proxy, firewall or portal on the path" +
			" may have sent it; " + runDoctor
	case status == http.StatusUnauthorized:
		return "if it is one person, they log in again (/login in Claude Code) or check their API key; if it is everyone, nobody should:" +
			" see the header rule with `oauth-proxyd selftest`, then https://status.anthropic.com"
	case status == http.StatusTooManyRequests:
		return "see `oauth-proxyd limits`: an account has reached its rate limit"
	case status >= http.StatusInternalServerError:
		return fixAPI
	}
	return "see the error that the client shows: it is the API's"
}
