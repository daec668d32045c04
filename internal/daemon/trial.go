package daemon

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// trialLife is how long a trial may be on its way.
	trialLife = time.Minute
	// trialMemory is how much longer its nonce is known, so that a gateway which
	// repeats a request late does not have it sent to the upstream.
	trialMemory = 10 * time.Minute
	maxTrials   = 64
	minNonce    = 26 // letters and digits; 130 bits as crypto/rand.Text makes them
)

// Trial announces one request that "oauth-proxyd doctor" sends by way of a gateway. It
// holds no credential, only the hash of a made-up one.
type Trial struct {
	// Nonce stands somewhere in the query or in the header of the request.
	Nonce string `json:"nonce"`
	// Header is what is sent, but for Authorization.
	Header http.Header `json:"header"`
	// The hashes are those of the Authorization header and of the body, in hex.
	AuthorizationSHA256 string `json:"authorization_sha256"`
	BodySHA256          string `json:"body_sha256"`
}

// TrialReport is what became of a Trial.
type TrialReport struct {
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
	// Query is whether the nonce is in it still.
	Query bool `json:"query"`
	// Authorization and Body are compared by hash.
	Authorization Comparison `json:"authorization,omitempty"`
	Body          Comparison `json:"body,omitempty"`
	// APIKey is whether an x-api-key came, which was not sent.
	APIKey bool `json:"api_key"`
	// Header is what came of the headers that were sent, but for credentials.
	Header http.Header `json:"header,omitempty"`
	// Added names headers that were not sent.
	Added []string `json:"added,omitempty"`
	// Upstream is the anthropic-beta that the upstream would get under the header
	// rules in force.
	Upstream []string `json:"upstream,omitempty"`
	// Sent is when each event of the answer was handed to the kernel.
	Sent []time.Time `json:"sent,omitempty"`
	// AnswerSHA256 is the hash of the whole answer, in hex; empty until it was
	// sent whole.
	AnswerSHA256 string `json:"answer_sha256,omitempty"`
}

// Comparison of what came with what was sent.
type Comparison string

// The comparisons.
const (
	Same    Comparison = "same"
	Changed Comparison = "changed"
	Absent  Comparison = "absent"
)

// trials are those that are expected, and those that were.
type trials struct {
	known atomic.Int32 // how many; the request path looks no further at 0

	mu      sync.Mutex
	entries []*trial
}

// trial is guarded by the mutex of trials but for what never changes.
type trial struct {
	Trial
	expected time.Time
	report   TrialReport
}

var errTooManyTrials = errors.New("too many trials are under way; wait a minute")

// expect begins to look out for t.
func (s *trials) expect(t Trial, now time.Time) error {
	if len(t.Nonce) < minNonce || strings.ContainsFunc(t.Nonce, isNoNonce) {
		return errors.New("the nonce is too short or has other characters than letters and digits")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	if len(s.entries) >= maxTrials {
		return errTooManyTrials
	}
	s.entries = append(s.entries, &trial{Trial: t, expected: now})
	s.known.Store(int32(len(s.entries)))
	return nil
}

func isNoNonce(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// forget drops what nobody can be waiting for any more.
func (s *trials) forget(now time.Time) {
	kept := s.entries[:0]
	for _, t := range s.entries {
		if now.Sub(t.expected) < trialLife+trialMemory {
			kept = append(kept, t)
		}
	}
	clear(s.entries[len(kept):])
	s.entries = kept
	s.known.Store(int32(len(kept)))
}

// arrive recognises a trial by the nonce, wherever a gateway has left it, and counts
// it. It is to be answered the first time only, and only in time.
func (s *trials) arrive(r *http.Request, now time.Time) (t *trial, answer bool) {
	if s.known.Load() == 0 {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	for _, t := range s.entries {
		if t.isIn(r) {
			t.report.Arrivals++
			return t, t.report.Arrivals == 1 && now.Sub(t.expected) < trialLife
		}
	}
	return nil, false
}

func (t *trial) isIn(r *http.Request) bool {
	if strings.Contains(r.URL.RawQuery, t.Nonce) {
		return true
	}
	for _, values := range r.Header {
		for _, value := range values {
			if strings.Contains(value, t.Nonce) {
				return true
			}
		}
	}
	return false
}

// note changes the report of t.
func (s *trials) note(t *trial, change func(*TrialReport)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&t.report)
}

// reportOn gives the report on the trial with that nonce; false: there is none.
func (s *trials) reportOn(nonce string) (TrialReport, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.entries {
		if t.Nonce == nonce {
			return t.report, true
		}
	}
	return TrialReport{}, false
}

func (d *daemon) adminExpectTrial(w http.ResponseWriter, r *http.Request) {
	const longest = 64 << 10
	var t Trial
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, longest)).Decode(&t)
	if err == nil {
		err = d.trials.expect(t, time.Now())
	}
	switch {
	case errors.Is(err, errTooManyTrials):
		http.Error(w, err.Error(), http.StatusTooManyRequests)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		writeJSON(w, struct{}{})
	}
}

func (d *daemon) adminTrialReport(w http.ResponseWriter, r *http.Request) {
	report, ok := d.trials.reportOn(r.PathValue("nonce"))
	if !ok {
		http.Error(w, "no such trial", http.StatusNotFound)
		return
	}
	writeJSON(w, report)
}
