package selftest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"oauth-proxyd/internal/fakeupstream"
)

// Shown in place of values that are not to be shown.
const (
	hidden     = "(not shown)"
	credential = "(credential)"
)

// probe is a typical client's request and what became of it.
type probe struct {
	Client
	client   typicalClient
	received http.Header // nil: the API received no request
	held     string      // which event was held back; empty: none
}

func newProbe(c typicalClient, listener string) probe {
	return probe{
		client: c,
		Name:   c.name, Listener: listener, Method: c.method, Target: c.target,
		Headers: []Header{}, Rules: []Rule{},
	}
}

// run sends the request and reads the response. An error says why it did not come to its end.
func (p *probe) run(ctx context.Context, l *lab) error {
	address := l.listener.Addr().String()
	r, err := http.NewRequestWithContext(ctx, p.client.method, "http://"+address, p.client.reader())
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	r.URL = &url.URL{Scheme: "http", Host: address, Opaque: p.client.target}
	r.Header = p.client.header.Clone()
	response, err := l.transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("no response: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	p.Status = response.StatusCode
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		return p.readEvents(ctx, l, response.Body)
	}
	body, err := io.ReadAll(response.Body)
	if response.Header.Get("Proxy-Status") != "" {
		return fmt.Errorf("the proxy refused it with %d: %s", p.Status, errorMessage(body))
	}
	return err
}

// readEvents lets the API send the next event only when the one before has been read.
func (p *probe) readEvents(ctx context.Context, l *lab, body io.Reader) error {
	for lines := bufio.NewReader(body); ; {
		line, err := lines.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() != nil:
			p.held = fmt.Sprintf("event %d did not arrive before the next one was sent", p.Events+1)
			return err
		case err != nil:
			return err
		}
		if line == "\n" { // the end of an event
			p.Events++
			l.read <- struct{}{}
		}
	}
}

// errorMessage is the message of an error body.
func errorMessage(body []byte) string {
	var refusal struct {
		Error struct{ Message string }
	}
	_ = json.Unmarshal(body, &refusal) // it is in our own shape
	return refusal.Error.Message
}

// record adds what the API received and what the rules did. The lab must be closed.
func (p *probe) record(l *lab, rules []ruleText) error {
	for _, t := range l.proxy.Ended() {
		for i, done := range t.HeaderRules {
			p.Rules = append(p.Rules, Rule{Name: rules[i].name, Does: rules[i].does, Result: string(done.Result)})
		}
	}
	if len(l.received) != 1 {
		return fmt.Errorf("the API received the request %d times", len(l.received))
	}
	sent := p.client.header.Clone()
	if n := len(p.client.body); n > 0 {
		sent["Content-Length"] = []string{strconv.Itoa(n)}
	}
	got := l.received[0]
	p.received = got.Header
	p.CredentialUntouched = fakeupstream.CredentialSHA256(sent) == got.CredentialSHA256
	p.Headers = compare(sent, got.Header, p.CredentialUntouched)
	p.hide(rules)
	return nil
}

// hide removes the values that the configuration says are not to be shown.
func (p *probe) hide(rules []ruleText) {
	for i, h := range p.Headers {
		if h.Received != nil && slices.ContainsFunc(rules, func(r ruleText) bool { return r.hidden && r.header == h.Name }) {
			p.Headers[i].Received = []string{hidden}
		}
	}
}

// compare lists all headers of both sides by name. The API's side comes with its credentials
// masked.
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

// isCredential reports whether the clients authenticate with the header.
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
