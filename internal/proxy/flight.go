package proxy

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"oauth-proxyd/internal/config"
)

const (
	// keptFlights is how many requests are remembered after their end.
	keptFlights = 1000
	// keptRefused is the same for requests whose sender was not admitted. They are kept apart, so
	// that strangers cannot push out other requests.
	keptRefused = 64
)

// flights is the flight recorder: all requests in flight, and the latest ones that ended. Records
// hold names and times, bounded and copied, so no header or body stays in memory with them.
type flights struct {
	mu      sync.Mutex
	open    map[*exchange]struct{}
	ended   []*record // the latest last
	refused []*record // likewise
}

// keep appends a record, and drops the oldest one if limit is reached. It does not move the others:
// append copies them when the end of the array is reached.
func keep(records []*record, one *record, limit int) []*record {
	if len(records) >= limit {
		records[0] = nil
		records = records[1:]
	}
	return append(records, one)
}

func (f *flights) begin(x *exchange) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[x] = struct{}{}
}

// end moves the record to the ended ones.
func (f *flights) end(x *exchange) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, x)
	if x.rec.admitted {
		f.ended = keep(f.ended, x.rec, keptFlights)
	} else {
		f.refused = keep(f.refused, x.rec, keptRefused)
	}
}

// list returns the requests in flight and those that ended, in no order.
func (f *flights) list() (open []*exchange, ended []*record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.open)), slices.Concat(f.ended, f.refused)
}

// Trace is what is remembered about a request: names, sizes and times. Of header values it has only
// the session, the trace ID and the client's version, and of bodies nothing. Node, User, Tags,
// Address and Person are as the log names them.
type Trace struct {
	RequestID         string            `json:"request_id"`
	UpstreamRequestID string            `json:"upstream_request_id,omitempty"`
	Method            string            `json:"method"`
	Path              string            `json:"path"` // without the query
	Listener          string            `json:"listener"`
	Source            config.SourceKind `json:"source,omitempty"` // empty: not judged yet
	Node              string            `json:"node,omitempty"`
	User              string            `json:"user,omitempty"`
	Tags              []string          `json:"tags,omitempty"`
	Address           string            `json:"address,omitempty"`      // if the source is other
	Person            string            `json:"person,omitempty"`       // for whom a gateway sent it
	PersonDoubt       string            `json:"person_doubt,omitempty"` // why Person is empty although the header of identity is present
	Session           string            `json:"session,omitempty"`
	Account           string            `json:"account,omitempty"` // a hash, as in [ratelimit.Account]
	TraceID           string            `json:"trace_id,omitempty"`
	Client            string            `json:"client,omitempty"` // program and version, if known
	Credential        string            `json:"credential"`       // oauth, api_key, other or none
	Started           time.Time         `json:"started"`
	Duration          Millis            `json:"duration_ms"` // in flight: so far
	FirstByte         Millis            `json:"first_byte_ms,omitempty"`
	Silence           Millis            `json:"silence_ms,omitempty"` // in flight: since the last byte either way; too long at times, see watch.writing
	WaitsFor          string            `json:"waits_for,omitempty"`  // in flight: the side that must act next, client or upstream
	BytesIn           int64             `json:"bytes_in"`
	BytesOut          int64             `json:"bytes_out"`
	Queued            Millis            `json:"queued_ms,omitempty"` // in flight: so far, while it waits for a slot
	Next              bool              `json:"next,omitempty"`      // of the waiting requests, it gets the next slot
	Attempts          int               `json:"attempts"`
	Status            int               `json:"status,omitempty"`
	Outcome           string            `json:"outcome,omitempty"`       // empty in flight
	Stream            string            `json:"stream,omitempty"`        // events or compressed; empty: no stream
	Events            uint64            `json:"events,omitempty"`        // events with data
	Pings             uint64            `json:"pings,omitempty"`         // events without
	OnlyPings         Millis            `json:"only_pings_ms,omitempty"` // how long a stream has only pinged, up to its latest ping
	Error             string            `json:"error,omitempty"`
	HeaderRules       []RuleTrace       `json:"header_rules,omitempty"`
	Steps             []StepTrace       `json:"steps"`
}

// Phase returns the current phase of the request, or the one in which it ended; empty: a trace of
// another version has none.
func (t Trace) Phase() string {
	if len(t.Steps) == 0 {
		return ""
	}
	return t.Steps[len(t.Steps)-1].Phase
}

func (t Trace) end() time.Time { return t.Started.Add(t.Duration.Duration()) }

// Failed reports whether the request failed: the client stayed and did not get a complete response
// below 300 from the API, or a 304.
func (t Trace) Failed() bool { return t.failedAs() != "" }

// RuleTrace says what one header rule did.
type RuleTrace struct {
	Header string `json:"header"`
	Result string `json:"result"`
}

// StepTrace is the start of a phase.
type StepTrace struct {
	At     Millis `json:"at_ms"` // since the start of the request
	Phase  string `json:"phase"`
	Detail string `json:"detail,omitempty"`
}

// Millis is a duration in milliseconds, precise to a microsecond.
type Millis float64

func millis(d time.Duration) Millis { return Millis(d.Microseconds()) / 1000 }

// Duration converts m.
func (m Millis) Duration() time.Duration {
	return time.Duration(math.Round(float64(m)*1000)) * time.Microsecond
}

// InFlight returns the requests in flight: first those with a slot, the oldest first, then the one
// that gets the next slot, and last the others that wait, the oldest first.
func (p *Proxy) InFlight() []Trace {
	open, _ := p.flights.list()
	traces, next := make([]Trace, 0, len(open)), p.queue.next()
	for _, x := range open {
		t := x.trace()
		t.Next = t.Queued > 0 && next == &x.ticket
		traces = append(traces, t)
	}
	rank := func(t Trace) int {
		switch {
		case t.Queued == 0:
			return 0
		case t.Next:
			return 1
		}
		return 2
	}
	slices.SortFunc(traces, func(a, b Trace) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Started.Compare(b.Started), cmp.Compare(a.RequestID, b.RequestID))
	})
	return traces
}

// Ended returns the latest requests that ended, in the order of their ends.
func (p *Proxy) Ended() []Trace {
	_, ended := p.flights.list()
	traces := make([]Trace, 0, len(ended))
	for _, r := range ended {
		traces = append(traces, r.trace())
	}
	slices.SortStableFunc(traces, func(a, b Trace) int { return a.end().Compare(b.end()) })
	return traces
}

// Warnings returns what an operator should look at, each with what to do.
func (p *Proxy) Warnings(now time.Time) []string {
	all := append(p.outcomes.warnings(now), p.flights.warning())
	return slices.DeleteFunc(all, func(text string) bool { return text == "" })
}

// Find returns the remembered requests whose ID, or whose ID at the upstream, is id. The latest is
// the last: a client can use an ID twice.
func (p *Proxy) Find(id string) []Trace {
	return slices.DeleteFunc(append(p.Ended(), p.InFlight()...), func(t Trace) bool {
		return t.RequestID != id && t.UpstreamRequestID != id
	})
}

// trace returns the trace of a request in flight.
func (x *exchange) trace() Trace {
	t := x.rec.trace()
	t.Duration, t.Silence = millis(time.Since(x.rec.Started)), millis(x.watch.silence())
	t.WaitsFor = waitingFor(x.watch.waiting.Load()).side()
	if t.Phase() == phaseQueued {
		t.Queued = max(millis((t.Duration - t.Steps[len(t.Steps)-1].At).Duration()), 0.001)
	}
	if x.body != nil {
		t.BytesIn = x.body.progress()
	}
	t.Steps = x.withWaiting(slices.Clip(t.Steps)) // which appends to a copy
	return t
}

// withWaiting adds the phase waiting to the steps if the upstream has the whole request. The
// goroutine that sends the body only notes the time, because it must not write the record.
func (x *exchange) withWaiting(steps []StepTrace) []StepTrace {
	if at := x.watch.sentAt.Load(); at > 0 && steps[len(steps)-1].Phase == phaseSending {
		steps = append(steps, StepTrace{At: millis(time.Duration(at)), Phase: phaseWaiting})
	}
	return steps
}

// trace returns a copy. It shares Steps and HeaderRules, which is safe, because their elements
// never change.
func (r *record) trace() Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.Trace
	t.BytesOut = r.sent.Load()
	t.Events, t.Pings, t.OnlyPings = r.events.data.Load(), r.events.pings.Load(), r.onlyPings()
	return t
}
