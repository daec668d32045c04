package selftest

import (
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"oauth-proxyd/internal/fakeupstream"
)

// What stands for a value that is not to be shown.
const (
	hidden     = "(not shown)"
	credential = "(credential)"
)

// probe is a typical client's request and what came of it.
type probe struct {
	Client
	client   typicalClient
	received http.Header // nil: the upstream saw no request
}

func newProbe(c typicalClient, listener string) probe {
	return probe{
		client: c,
		Name:   c.name, Listener: listener, Method: c.method, Target: c.target,
		Headers: []Header{}, Rules: []Rule{},
	}
}

// run sends the request. An error is why it was not carried to its end.
func (p *probe) run(ctx context.Context, l *lab, rules []ruleText) error {
	var body io.Reader
	if p.client.body != "" {
		body = strings.NewReader(p.client.body)
	}
	r, err := l.request(ctx, p.client.method, p.client.target, body)
	if err != nil {
		return err
	}
	r.Header = p.client.header.Clone()
	x, err := l.open(r)
	if err != nil {
		return err
	}
	p.Status = x.answer.StatusCode
	if err := x.finish(ctx); err != nil {
		return err
	}
	p.note(x, rules)
	return x.broken
}

// note keeps what the report says of the exchange.
func (p *probe) note(x *exchange, rules []ruleText) {
	sent := p.client.header.Clone()
	if n := len(p.client.body); n > 0 {
		sent["Content-Length"] = []string{strconv.Itoa(n)}
	}
	got := x.seen.received
	p.received = got.Header
	p.CredentialUntouched = fakeupstream.CredentialSHA256(sent) == got.CredentialSHA256
	for i, rule := range rules {
		result := "unknown"
		if i < len(x.outcome.rules) {
			result = x.outcome.rules[i]
		}
		p.Rules = append(p.Rules, Rule{Name: rule.name, Does: rule.does, Result: result})
	}
	p.Headers = compare(sent, got.Header, p.CredentialUntouched)
	p.hide(x.lab, rules)
}

// hide takes out the values of which the configuration says that they are not for
// the eye.
func (p *probe) hide(l *lab, rules []ruleText) {
	secret := make(map[string]bool)
	for i, rule := range rules {
		name := strings.ToLower(l.settings.Headers[i].Name)
		secret[name] = secret[name] || rule.hidden
	}
	for i, h := range p.Headers {
		if secret[h.Name] && h.Received != nil {
			p.Headers[i].Received = []string{hidden}
		}
	}
}

// compare lists all headers of both sides by name. The upstream's side comes with
// its credentials masked.
func compare(sent, received http.Header, untouched bool) []Header {
	all := maps.Clone(sent)
	maps.Copy(all, received)
	headers := make([]Header, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		h := Header{Name: strings.ToLower(name), Sent: sent[name], Received: received[name]}
		if isCredential(name) && h.Sent != nil {
			h.Sent = []string{credential}
			if untouched && h.Received != nil {
				h.Received = h.Sent
			}
		}
		h.Change = change(h)
		headers = append(headers, h)
	}
	return headers
}

// isCredential: a header that the clients here authenticate with.
func isCredential(name string) bool { return name == "Authorization" || name == "X-Api-Key" }

func change(h Header) Change {
	switch {
	case h.Sent == nil:
		return Added
	case h.Received == nil:
		return Dropped
	case slices.Equal(h.Sent, h.Received):
		return Kept
	default:
		return Changed
	}
}
