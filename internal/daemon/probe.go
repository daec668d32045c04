package daemon

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ProbeHeader is the request header with the nonce of a probe, and the only place in which that
// is looked for: what else a request has cannot make it one. It is a header because gateways
// build the URL that they ask themselves, while the headers are what a gateway for Claude Code
// has to pass on. A gateway that drops it is told from one that does not reach us by the request
// that comes without.
const ProbeHeader = "X-Oauth-Proxyd-Probe"

const (
	// probeLife is how long a probe may be on its way.
	probeLife = time.Minute
	// probeMemory is how much longer its nonce is known, so that a gateway which
	// repeats a request late does not have it sent to the upstream.
	probeMemory = 10 * time.Minute
	maxProbes   = 64
)

// Probe announces one request that "oauth-proxyd doctor" sends by way of a gateway. It holds no
// credential, only the hash of a made-up one, in hex, and that of the body.
type Probe struct {
	AuthorizationSHA256 string `json:"authorization_sha256"`
	BodySHA256          string `json:"body_sha256"`
}

// ProbeTicket is the daemon's response to the announcement.
type ProbeTicket struct {
	// Nonce is to stand in ProbeHeader. The daemon makes it, so that nobody can choose one
	// that stands in another's request.
	Nonce string `json:"nonce"`
}

// ProbeReport is what became of a Probe.
type ProbeReport struct {
	// Arrivals is how often it came; 0: not yet, or never.
	Arrivals int `json:"arrivals"`
	// Refused is why the access rules kept it out; empty: they did not.
	Refused string `json:"refused,omitempty"`
	// Sender is who sent it, as the access rules see it, and Entry the entry of
	// access.allow that is for it; empty: none is.
	Sender string `json:"sender,omitempty"`
	Entry  string `json:"entry,omitempty"`
	// Method, Path and Protocol are those of the request line.
	Method   string `json:"method,omitempty"`
	Path     string `json:"path,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	// Query is whether beta=true is in it still.
	Query bool `json:"query"`
	// Authorization and Body are compared by hash.
	Authorization Comparison `json:"authorization,omitempty"`
	Body          Comparison `json:"body,omitempty"`
	// APIKey is whether an x-api-key came, which was not sent.
	APIKey bool `json:"api_key"`
	// Header is what came of ProbeHeaders, and of no other header.
	Header http.Header `json:"header,omitempty"`
	// Upstream is the anthropic-beta that the upstream would get under the header
	// rules in force.
	Upstream []string `json:"upstream,omitempty"`
	// Sent is when each event of the response was handed to the kernel.
	Sent []time.Time `json:"sent,omitempty"`
	// ResponseSHA256 is the hash of the whole response, in hex; empty until it was
	// sent whole.
	ResponseSHA256 string `json:"response_sha256,omitempty"`
}

// ProbeHeaders are the headers that a report has values of: a fixed list, so that a report shows
// nothing that belongs to somebody else.
func ProbeHeaders() []string {
	return []string{
		"Accept", "Anthropic-Beta", "Anthropic-Version", "Content-Type", "User-Agent",
		"X-App", "X-Claude-Code-Session-Id", "X-Request-Id",
	}
}

// Comparison of what came with what was sent.
type Comparison string

// The comparisons.
const (
	Same    Comparison = "same"
	Changed Comparison = "changed"
	Absent  Comparison = "absent"
)

// probes are those that are expected, and those that were.
type probes struct {
	known atomic.Int32 // how many; the request path looks no further at 0

	mu      sync.Mutex
	entries []*probe
}

// probe is guarded by the mutex of probes but for what never changes.
type probe struct {
	Probe
	nonce    string
	expected time.Time
	report   ProbeReport
}

var errTooManyProbes = errors.New("too many probes are under way; wait a minute")

// expect begins to look out for a probe, under a nonce of 130 random bits.
func (s *probes) expect(announced Probe, now time.Time) (nonce string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	if len(s.entries) >= maxProbes {
		return "", errTooManyProbes
	}
	nonce = rand.Text()
	s.entries = append(s.entries, &probe{Probe: announced, nonce: nonce, expected: now})
	s.known.Store(int32(len(s.entries)))
	return nonce, nil
}

// forget drops what nobody can be waiting for any more.
func (s *probes) forget(now time.Time) {
	s.entries = slices.DeleteFunc(s.entries, func(e *probe) bool {
		return now.Sub(e.expected) >= probeLife+probeMemory
	})
	s.known.Store(int32(len(s.entries)))
}

// arrive recognizes a probe by its header, and counts it. It is to be served the first time only,
// and only in time.
func (s *probes) arrive(r *http.Request, now time.Time) (e *probe, serve bool) {
	if s.known.Load() == 0 || len(r.Header[ProbeHeader]) != 1 {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	e = s.find(r.Header[ProbeHeader][0])
	if e == nil {
		return nil, false
	}
	e.report.Arrivals++
	return e, e.report.Arrivals == 1 && now.Sub(e.expected) < probeLife
}

// find wants the mutex held.
func (s *probes) find(nonce string) *probe {
	for _, e := range s.entries {
		if e.nonce == nonce {
			return e
		}
	}
	return nil
}

// note changes the report of e.
func (s *probes) note(e *probe, change func(*ProbeReport)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&e.report)
}

// reportOn gives the report on the probe with that nonce; false: there is none.
func (s *probes) reportOn(nonce string) (ProbeReport, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.find(nonce); e != nil {
		return e.report, true
	}
	return ProbeReport{}, false
}

func (d *daemon) adminExpectProbe(w http.ResponseWriter, r *http.Request) {
	const longest = 4 << 10
	var announced Probe
	strict := json.NewDecoder(http.MaxBytesReader(w, r.Body, longest))
	strict.DisallowUnknownFields() // such as a nonce of the client's own
	if err := strict.Decode(&announced); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	nonce, err := d.probes.expect(announced, time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	writeJSON(w, ProbeTicket{nonce})
}

func (d *daemon) adminProbeReport(w http.ResponseWriter, r *http.Request) {
	report, ok := d.probes.reportOn(r.PathValue("nonce"))
	if !ok {
		http.Error(w, "no such probe", http.StatusNotFound)
		return
	}
	writeJSON(w, report)
}
