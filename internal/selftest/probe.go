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
)

// probe is the request of a typical client, and its result.
type probe struct {
	Client
	client   typicalClient
	received http.Header // nil: the API received no request
}

// run sends the request and reads the response. An error says why the response is not complete.
func (p *probe) run(ctx context.Context, l *lab) error {
	address := l.listener.Addr().String()
	r, err := http.NewRequestWithContext(ctx, p.client.method, "http://"+address, strings.NewReader(p.client.body))
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
			return fmt.Errorf("event %d did not arrive before the next one was sent", p.Events+1)
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
	_ = json.Unmarshal(body, &refusal) // it is the proxy's own
	return refusal.Error.Message
}

// record adds what the API received and what the rules did. The lab must be closed.
func (p *probe) record(l *lab, rules []ruleText) error {
	for _, t := range l.proxy.Ended() {
		for i, done := range t.HeaderRules {
			p.Rules = append(p.Rules, Rule{Name: rules[i].name, Does: rules[i].does, Result: done.Result})
		}
	}
	if len(l.received) != 1 {
		return fmt.Errorf("the API received the request %d times", len(l.received))
	}
	sent := p.client.header.Clone()
	if n := len(p.client.body); n > 0 {
		sent["Content-Length"] = []string{strconv.Itoa(n)}
	}
	p.received = l.received[0]
	p.Headers = compare(sent, p.received)
	for i, h := range p.Headers {
		if h.Received != nil && slices.ContainsFunc(rules, func(r ruleText) bool { return r.hidden && r.header == h.Name }) {
			p.Headers[i].Received = []string{"(not shown)"}
		}
	}
	return nil
}

// compare lists all headers of both sides by name, without the values of credentials.
func compare(sent, received http.Header) []Header {
	all := maps.Clone(sent)
	maps.Copy(all, received)
	headers := make([]Header, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		h := Header{Name: strings.ToLower(name), Change: change(sent[name], received[name]), Sent: sent[name], Received: received[name]}
		if name == "Authorization" || name == "X-Api-Key" {
			h.Sent, h.Received = masked(h.Sent), masked(h.Received)
		}
		headers = append(headers, h)
	}
	return headers
}

func masked(values []string) []string {
	if values == nil {
		return nil
	}
	return []string{"(credential)"}
}

func change(sent, received []string) Change {
	switch {
	case sent == nil:
		return Added
	case received == nil:
		return Dropped
	case slices.Equal(sent, received):
		return Kept
	default:
		return Changed
	}
}
