package proxy

import (
	"cmp"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"oauth-proxyd/internal/config"
)

const (
	// keptFlights is how many requests are remembered after their end.
	keptFlights = 1000
	// keptRefused is the same for requests whose sender access did not admit. They have a ring of
	// their own, or a stranger could push all others out.
	keptRefused = 64
)

// flights is the flight recorder: all requests in flight, and the latest that ended. It keeps
// records, so names and times, each bounded and copied: neither a header nor a body is kept with
// them.
type flights struct {
	mu      sync.Mutex
	open    map[*exchange]struct{}
	ended   ring
	refused ring
}

func newFlights() *flights {
	return &flights{open: make(map[*exchange]struct{}), ended: ring{size: keptFlights}, refused: ring{size: keptRefused}}
}

// ring is the latest records of some kind, in no order.
type ring struct {
	size    int
	records []*record
	next    int // where the next one goes once it is full
}

// put keeps the record, instead of the oldest if there are enough.
func (r *ring) put(one *record) {
	if len(r.records) < r.size {
		r.records = append(r.records, one)
		return
	}
	r.records[r.next] = one
	r.next = (r.next + 1) % r.size
}

func (f *flights) begin(x *exchange) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[x] = struct{}{}
}

// end keeps the record.
func (f *flights) end(x *exchange) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, x)
	if x.rec.admitted {
		f.ended.put(x.rec)
	} else {
		f.refused.put(x.rec)
	}
}

// list has the requests in flight, and those that ended, in no order.
func (f *flights) list() (open []*exchange, ended []*record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.open)), slices.Concat(f.ended.records, f.refused.records)
}

// Trace is what is remembered of a request: names, sizes and times, never the value of a header
// other than the session, the trace and the version of the client, never a byte of a body. Node,
// User, Tags, Address and Person are as the log names them.
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
	Address           string            `json:"address,omitempty"`      // of a sender with source other
	Person            string            `json:"person,omitempty"`       // who a gateway sent it for
	PersonDoubt       string            `json:"person_doubt,omitempty"` // why there is no person, though a header may name one
	Session           string            `json:"session,omitempty"`
	TraceID           string            `json:"trace_id,omitempty"`
	Client            string            `json:"client,omitempty"` // its program and version, if known
	Credential        string            `json:"credential"`       // oauth, api_key, other or none
	Started           time.Time         `json:"started"`
	Duration          Millis            `json:"duration_ms"` // so far, of one in flight
	FirstByte         Millis            `json:"first_byte_ms,omitempty"`
	Silence           Millis            `json:"silence_ms,omitempty"` // in flight: since the last byte either way
	BytesIn           int64             `json:"bytes_in"`
	BytesOut          int64             `json:"bytes_out"`
	Queued            Millis            `json:"queued_ms,omitempty"` // in flight: so far, if it waits for a slot
	Turn              int               `json:"turn,omitempty"`      // among those that do, 1 is next; 0: its person has all of their slots
	Attempts          int               `json:"attempts"`
	Status            int               `json:"status,omitempty"`
	Outcome           string            `json:"outcome,omitempty"`       // empty while in flight
	Stream            string            `json:"stream,omitempty"`        // events or compressed; else: none
	Events            uint64            `json:"events,omitempty"`        // with data, of a stream of events
	Pings             uint64            `json:"pings,omitempty"`         // and without
	OnlyPings         Millis            `json:"only_pings_ms,omitempty"` // of a stream, up to its latest ping
	Error             string            `json:"error,omitempty"`
	HeaderRules       []RuleTrace       `json:"header_rules,omitempty"`
	Steps             []StepTrace       `json:"steps"`
}

// Phase is the one that the request is in, or ended in.
func (t Trace) Phase() string { return t.Steps[len(t.Steps)-1].Phase }

// end is when a request ended that has.
func (t Trace) end() time.Time { return t.Started.Add(t.Duration.Duration()) }

// Who is the first that is known of the sender of what [access.Identity.Key] tells persons by, else
// the source.
func (t Trace) Who() string {
	return cmp.Or(t.Person, t.User, t.Node, strings.Join(t.Tags, ","), t.Address, string(t.Source))
}

// Failed reports whether the client got no whole response of the upstream below 500, by nobody's
// wish.
func (t Trace) Failed() bool {
	return t.Outcome != outcomeOK && t.Outcome != outcomeClientGone || t.Status >= http.StatusInternalServerError
}

// RuleTrace is what one header rule did.
type RuleTrace struct {
	Header string     `json:"header"`
	Result RuleResult `json:"result"`
}

// StepTrace is the beginning of a phase.
type StepTrace struct {
	At     Millis `json:"at_ms"` // since the start of the request
	Phase  string `json:"phase"`
	Detail string `json:"detail,omitempty"`
}

// Millis is a duration in milliseconds, with microseconds as digits.
type Millis float64

func millis(d time.Duration) Millis { return Millis(d.Microseconds()) / 1000 }

// Duration is m as the standard library counts.
func (m Millis) Duration() time.Duration {
	return time.Duration(math.Round(float64(m)*1000)) * time.Microsecond
}

// InFlight is the requests in flight, the oldest first, and last those that wait for a slot, in the
// order of their turns.
func (p *Proxy) InFlight() []Trace {
	open, _ := p.flights.list()
	traces, turns := make([]Trace, 0, len(open)), p.queue.turns()
	for _, x := range open {
		t := x.trace()
		t.Turn = turns[&x.ticket]
		traces = append(traces, t)
	}
	slices.SortFunc(traces, func(a, b Trace) int {
		return cmp.Or(cmp.Compare(a.Turn, b.Turn), a.Started.Compare(b.Started), cmp.Compare(a.RequestID, b.RequestID))
	})
	return traces
}

// Ended is the latest requests that ended, in the order of their ends.
func (p *Proxy) Ended() []Trace {
	_, ended := p.flights.list()
	traces := make([]Trace, 0, len(ended))
	for _, r := range ended {
		traces = append(traces, r.trace())
	}
	slices.SortStableFunc(traces, func(a, b Trace) int { return a.end().Compare(b.end()) })
	return traces
}

// Warnings are what somebody should look at, each with how to go on.
func (p *Proxy) Warnings(now time.Time) []string {
	all := []string{p.metrics.weather.warning(now), p.metrics.clients.warning(now), p.streams.warning()}
	return slices.DeleteFunc(all, func(text string) bool { return text == "" })
}

// Find gives the requests in flight and among the latest that ended whose id, or the upstream's for
// them, is id. The latest is the last; a client can use an id twice.
func (p *Proxy) Find(id string) []Trace {
	return slices.DeleteFunc(append(p.Ended(), p.InFlight()...), func(t Trace) bool {
		return t.RequestID != id && t.UpstreamRequestID != id
	})
}

// ForgetSenders removes the names of senders from all that is remembered. It is for the moment at
// which the settings begin to withhold them.
func (p *Proxy) ForgetSenders() {
	open, records := p.flights.list()
	for _, x := range open {
		records = append(records, x.rec)
	}
	for _, r := range records {
		r.change(func(t *Trace) { t.Node, t.User, t.Tags, t.Address, t.Person = "", "", nil, "", "" })
	}
	p.limits.ForgetNames()
}

// trace is of a request in flight.
func (x *exchange) trace() Trace {
	t := x.rec.trace()
	t.Duration, t.Silence = millis(time.Since(x.rec.start)), millis(x.watch.silence())
	if t.Phase() == phaseQueued {
		t.Queued = max(t.Duration-t.Steps[len(t.Steps)-1].At, 0.001)
	}
	if x.body != nil {
		t.BytesIn = x.body.progress()
	}
	t.Steps = slices.Clip(t.Steps) // a copy, if there is one more
	x.addWaiting(&t)
	return t
}

// trace is a copy. Steps and results are only added to.
func (r *record) trace() Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.Trace
	t.BytesOut = r.sent.Load()
	t.Events, t.Pings, t.OnlyPings = r.events.data.Load(), r.events.pings.Load(), r.onlyPings()
	return t
}
