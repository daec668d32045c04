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

// A request is judged up to three times:
//
//	began    by the header of its response  whether a version of a client works (clients.judge)
//	flowed   after steadyAfter of data      a success: a stream may last for minutes
//	ended    at its end                     everything else
//
// The end has a name for each reader: the Outcome is for the log, failedAs for shares of recent
// requests (recent.go), the verdict for Stats (stats.go). metrics.observe counts it by the status,
// our own error by the columns of codeTable, and a client that left by its phase.
//
//	how it ended                              Outcome        failedAs   verdict
//	a response below 300, or 304              ok             ""         success
//	  429, or other 3xx and 4xx of the API    ok             429, 4xx   doubtful
//	  529, or other 5xx of the API            ok             529, 5xx   breakdown
//	  3xx or 4xx without a request-id         no_request_id  the same   doubtful
//	  5xx without a request-id                no_request_id  the same   breakdown
//	  to a message, a web page below 500      no_request_id  the same   doubtful
//	  to a message, which is incomplete       incomplete     the same   breakdown
//	  whose last event is an error            error_event    the same   breakdown
//	the client left                           client_gone    ""         unjudged
//	  an upstream silent for silentAfter      client_gone    ""         doubtful
//	our own error, or a cut (codeTable)       its code       the same   of the code

// verdict is what the end of a request says about this host and the path to the upstream.
type verdict int

const (
	unjudged  verdict = iota // nothing: its client left
	stranger                 // nothing: the sender has no access
	success                  // requests work
	doubtful                 // it may be the client's own fault: nothing, unless every request fails
	refusal                  // the same, but many are worth a warning
	breakdown                // requests do not work
)

const (
	// steadyAfter is how long a response must have carried data to be a success before its end.
	steadyAfter = 10 * time.Second
	// silentAfter is how long the upstream must have been silent before a client that leaves is a
	// sign of trouble.
	silentAfter = 10 * time.Second
)

// outcomes judges whether requests work.
type outcomes struct {
	logLines func(key, value string) string

	mu      sync.Mutex   // guards the rest
	clients *clients     // with each version of a client
	recent  recentErrors // lately
	stats   Stats        // now
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
	return []string{o.errorWarning(now), o.clientWarning(now)}
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

func (o *outcomes) ended(r *record, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, cause, fix := o.judge(r)
	if r.admitted {
		o.clients.count(r, now)
	}
	o.recent.add(r, v, now)
	s := &o.stats
	if v == stranger {
		s.Refused++
		return
	}
	s.Served++
	if r.Outcome == outcomeOK && r.Status < http.StatusInternalServerError && r.UpstreamRequestID != "" {
		s.LastSuccess = now // the path to the API works
	}
	if meaning, _ := r.failure(); meaning.cutBy == cutByDrain && r.FirstByte > 0 {
		s.CutByDrain++
	}
	switch {
	case v == success:
		s.succeed(r, now)
	case v >= doubtful:
		s.fail(r, v, cause, fix, now)
	}
}

// judge returns the verdict on a request that has ended, and the cause and the fix of a failure.
func (o *outcomes) judge(r *record) (v verdict, cause, fix string) {
	meaning, ours := r.failure()
	switch {
	case ours:
		return meaning.verdict, r.Outcome + ": " + r.Error, o.fix(Code(r.Outcome))
	case r.Outcome == outcomeErrorEvent:
		return breakdown, r.Error, fixAPI
	case r.Outcome == outcomeIncomplete:
		return breakdown, r.Error, runDoctor
	case r.left && r.silence >= silentAfter:
		return doubtful, "the upstream was silent for " + roughly(r.silence) + " when the client left", runDoctor
	case r.left:
		return unjudged, "", ""
	case r.isSuccess():
		return success, "", ""
	case r.Status >= http.StatusInternalServerError:
		v = breakdown
	default:
		v = doubtful
	}
	cause = strings.TrimSpace(fmt.Sprintf("the upstream responded %d %s", r.Status, http.StatusText(r.Status)))
	if r.webPage && r.sent.Load() > 0 {
		cause += " with a web page"
	}
	return v, cause, fixResponse(r.Status, r.UpstreamRequestID)
}
