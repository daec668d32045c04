package daemon

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/proxy"
)

const (
	// probeLife is how long a nonce is known. It is long, because a gateway may repeat a probe
	// late, and the probe must not reach the upstream then.
	probeLife        = 10 * time.Minute
	maxProbeBody     = 1 << 20 // bytes; more than doctor sends
	probeBodyTimeout = 10 * time.Second
	// probePause separates two events of the response, so that even on a busy machine it shows
	// whether they arrive one by one.
	probePause = 300 * time.Millisecond
)

// probes holds the reports on the expected probes and on those that arrived. The zero value is
// ready for use.
type probes struct {
	mu      sync.Mutex
	reports map[string]*admin.ProbeReport // by nonce
}

// expect returns the nonce of a probe that may arrive from now on.
func (s *probes) expect() (nonce string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reports == nil {
		s.reports = make(map[string]*admin.ProbeReport)
	}
	nonce = rand.Text()
	s.reports[nonce] = &admin.ProbeReport{}
	time.AfterFunc(probeLife, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.reports, nonce)
	})
	return nonce
}

// arrive returns the nonce of a request, or "" if the request is not a probe. A probe is served
// once.
func (s *probes) arrive(r *http.Request) (nonce string, serve bool) {
	values := r.Header[admin.ProbeHeader]
	if len(values) != 1 || !s.withReport(values[0], func(report *admin.ProbeReport) {
		report.Arrivals++
		serve = report.Arrivals == 1
	}) {
		return "", false
	}
	return values[0], serve
}

// withReport calls use with the report on a probe, and returns whether there is one.
func (s *probes) withReport(nonce string, use func(*admin.ProbeReport)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	report, known := s.reports[nonce]
	if known {
		use(report)
	}
	return known
}

// serveProbe responds to r if it is a probe, and reports whether it is. The access rules apply to
// probes too. A probe is never sent to the upstream.
func (d *daemon) serveProbe(p *proxy.Proxy, w http.ResponseWriter, r *http.Request) bool {
	nonce, serve := d.probes.arrive(r)
	if nonce == "" {
		return false
	}
	id, err := p.Judge(r, d.view().config.Access.Allow)
	if err == nil && !serve {
		err = proxy.Refusal(proxy.CodeInvalidRequest, "this request of oauth-proxyd doctor was served before")
	}
	d.log.Info("a probe of doctor arrived", "source", string(id.Source), "refused", err != nil)
	if serve {
		d.probes.withReport(nonce, func(report *admin.ProbeReport) {
			v := d.view()
			report.Sender, report.Entry = v.naming.sender(id)
			report.Named, report.Person, report.PersonDoubt = id.Person != "", id.Redacted(v.naming.name).Person, id.Doubt
			compareProbe(report, nonce, r)
			report.Claimed = slices.Contains(r.Header[v.config.Identity.Header], admin.ProbePerson)
			report.NamedIn = namedIn(r.Header, v.config.Identity.Header)
			if err != nil {
				report.Refused = cmp.Or(errors.Unwrap(err), err).Error()
			}
		})
	}
	if err != nil {
		p.Refuse(w, r, err)
		return true
	}
	d.respondToProbe(nonce, w, r)
	return true
}

// compareProbe records what the gateway did to the request.
func compareProbe(report *admin.ProbeReport, nonce string, r *http.Request) {
	report.Target = r.URL.RequestURI()
	known := map[string]string{admin.ProbeAuthorization + nonce: "same", "": "absent"}
	report.Authorization = cmp.Or(known[strings.Join(r.Header["Authorization"], "\n")], "changed")
	report.APIKey = len(r.Header["X-Api-Key"]) > 0
	report.Header = http.Header{}
	for _, name := range admin.ProbeHeaders() {
		if values, arrived := r.Header[name]; arrived {
			report.Header[name] = values
		}
	}
}

// namedIn lists the headers of h in which gateways name a person, the header first before others.
func namedIn(h http.Header, first string) (names []string) {
	for _, name := range append([]string{first}, admin.PersonHeaders()...) {
		if len(h[name]) > 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// respondToProbe streams a message as the API does, and records when each event was sent.
func (d *daemon) respondToProbe(nonce string, w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(probeBodyTimeout)) // the server's writer has deadlines
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxProbeBody))
	_ = rc.SetReadDeadline(time.Time{})
	proxy.NameResponse(w, r)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	for i, event := range probeEvents() {
		if i > 0 {
			select {
			case <-time.After(probePause):
			case <-r.Context().Done():
				return // the client has left
			}
		}
		d.probes.withReport(nonce, func(report *admin.ProbeReport) { report.Sent = append(report.Sent, time.Now().UTC()) })
		if _, err := io.WriteString(w, event); err != nil || rc.Flush() != nil {
			return // likewise
		}
	}
	d.probes.withReport(nonce, func(report *admin.ProbeReport) { report.Complete = true })
}

// probeEvents are the events of an empty message
// (https://docs.claude.com/en/docs/build-with-claude/streaming).
func probeEvents() []string {
	event := func(name, rest string) string {
		return fmt.Sprintf("event: %s\ndata: {\"type\":%q%s}\n\n", name, name, rest)
	}
	return []string{
		event("message_start", `,"message":{"id":"msg_doctor","type":"message","role":"assistant","model":"oauth-proxyd-doctor","content":[],`+
			`"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}`),
		event("ping", ""),
		event("ping", ""),
		event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":0}`),
		event("message_stop", ""),
	}
}

// reportOn returns the report on a probe. It is zero if no such probe has arrived.
func (s *probes) reportOn(nonce string) (report admin.ProbeReport) {
	s.withReport(nonce, func(r *admin.ProbeReport) { report = *r })
	return report
}
