package selftest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/term"
)

// Report is the outcome of a run.
type Report struct {
	OK      bool     // no client has Fail
	Clients []Client // in order of listener and client
}

// Status is the outcome for a client. Warn is for what the operator may have intended.
type Status string

// The outcomes.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Client is one typical client with its request and the result.
type Client struct {
	Name     string
	Listener string
	OAuth    bool // it sends an OAuth token
	Method   string
	Target   string
	Verdict  Status
	Why      string
	Status   int // of the response; 0: none came
	Events   int // each read before the API sent the next
	Headers  []Header
	Rules    []Rule // in the order of the configuration
	Error    string

	header   http.Header
	body     string
	refusal  string      // the message of an error body
	arrivals int         // how many times the API received the request
	received http.Header // the first of them; nil: none
}

// Header is one header field on both sides; without values, that side did not have it. The values
// of headers whose names speak of secrets are not in it.
type Header struct {
	Name     string // lower case
	Sent     []string
	Received []string
}

// Rule is one header rule, and what it did to a request.
type Rule struct {
	Name   string // with its condition, as in the file
	Does   string
	Result string // added, present, replaced, removed or skipped
}

// judge says whether the request did what its client needs.
func (c *Client) judge() {
	got := config.AppendElements(nil, c.received["Anthropic-Beta"]...)
	lost := slices.DeleteFunc(config.AppendElements(nil, c.header["Anthropic-Beta"]...), func(f string) bool { return slices.Contains(got, f) })
	c.Verdict = Fail
	switch {
	case c.Error != "":
		c.Why = c.Error
	case len(lost) > 0:
		c.Why = fmt.Sprintf("its own features are lost: %s; the API responds with %d; mode \"merge\" keeps them",
			strings.Join(lost, ", "), c.Status)
	case c.Status == http.StatusOK:
		c.Verdict = OK
	case c.OAuth && c.Status == http.StatusUnauthorized && c.leftOut():
		c.Verdict = Warn
		c.Why = "the API refuses its OAuth token with 401: the conditions of the rules that add " + config.OAuthBeta + " leave it out"
	case c.OAuth && c.Status == http.StatusUnauthorized:
		c.Why = "the API refuses its OAuth token with 401, because anthropic-beta lacks " + config.OAuthBeta
	default:
		c.Why = fmt.Sprintf("the API refuses it with %d: %s", c.Status, c.refusal)
	}
}

// leftOut reports whether rules add the feature that an OAuth token needs, and each was skipped.
func (c *Client) leftOut() bool {
	adding := slices.DeleteFunc(slices.Clone(c.Rules), func(r Rule) bool { return !strings.Contains(r.Does, config.OAuthBeta) })
	return len(adding) > 0 && !slices.ContainsFunc(adding, func(r Rule) bool { return r.Result != "skipped" })
}

// conclude fails the clients that conditions leave out if no other gets its OAuth token accepted,
// which is what the program is for.
func (r *Report) conclude() {
	accepted := slices.ContainsFunc(r.Clients, func(c Client) bool { return c.OAuth && c.Verdict == OK })
	r.OK = true
	for i, c := range r.Clients {
		if c.Verdict == Warn && !accepted {
			r.Clients[i].Verdict = Fail
		}
		r.OK = r.OK && r.Clients[i].Verdict != Fail
	}
}

// compare lists all headers of both sides by name.
func compare(sent, received http.Header) []Header {
	all := maps.Clone(sent)
	maps.Copy(all, received)
	headers := make([]Header, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		h := Header{Name: strings.ToLower(name), Sent: sent[name], Received: received[name]}
		for _, values := range []*[]string{&h.Sent, &h.Received} {
			if *values != nil && config.SoundsSecret(name) {
				*values = []string{"(not shown)"}
			}
		}
		headers = append(headers, h)
	}
	return headers
}

// WriteText prints the report on the configuration file for a person.
func (r *Report) WriteText(p term.Printer, file string) {
	p.Wrap("", 0, "self test of "+file)
	p.Wrap("", 0, "The proxy is the real one; the API is a mock on this host. Nothing leaves the host.")
	p.Line("")
	p.Wrap("", 0, "What clients sent and the API received: + added, ~ changed, - dropped")
	counts := make(map[Status]int)
	for _, c := range r.Clients {
		c.write(p)
		counts[c.Verdict]++
	}
	p.Line("")
	p.Wrap("", 0, fmt.Sprintf("%d requests: %d ok, %d warn, %d fail", len(r.Clients), counts[OK], counts[Warn], counts[Fail]))
}

func (c Client) write(p term.Printer) {
	const column = 6
	p.Line("")
	p.Wrap(p.Outcome(string(c.Verdict), column), column, fmt.Sprintf("%s, listener %q", c.Name, c.Listener))
	if c.Why != "" {
		p.Wrap("      ! ", 8, c.Why)
	}
	outcome := fmt.Sprintf("%s %s -> %d", c.Method, c.Target, c.Status)
	if c.Events > 0 {
		outcome += fmt.Sprintf(", %d events one by one", c.Events)
	}
	p.Wrap("    ", 6, outcome)
	for _, h := range c.Headers {
		h.write(p)
	}
	for _, r := range c.Rules {
		p.Wrap("    rule  ", 10, fmt.Sprintf("%s: %s: %s", r.Name, r.Does, r.Result))
	}
}

func (h Header) write(p term.Printer) {
	sent, received := strings.Join(h.Sent, " | "), strings.Join(h.Received, " | ")
	switch {
	case h.Sent == nil:
		p.Wrap("    + ", 10, h.Name+": "+received)
	case h.Received == nil:
		p.Wrap("    - ", 10, h.Name+": "+sent)
	case sent != received:
		p.Wrap("    ~ ", 10, h.Name+": "+sent)
		p.Wrap("        -> ", 11, received)
	default:
		p.Wrap("      ", 10, h.Name+": "+received)
	}
}
