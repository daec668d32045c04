package selftest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// send sends the request and reads the response. An error says why the response is not complete.
func (c *Client) send(ctx context.Context, l *lab) error {
	address := l.listener.Addr().String()
	r, err := http.NewRequestWithContext(ctx, c.Method, "http://"+address, strings.NewReader(c.body))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	r.URL = &url.URL{Scheme: "http", Host: address, Opaque: c.Target}
	r.Header = c.header.Clone()
	response, err := l.transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("no response: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	c.Status = response.StatusCode
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		return c.readEvents(ctx, l, response.Body)
	}
	body, err := io.ReadAll(response.Body)
	c.refusal = errorMessage(body)
	if response.Header.Get("Proxy-Status") != "" {
		return fmt.Errorf("the proxy refused it with %d: %s", c.Status, c.refusal)
	}
	return err
}

// readEvents lets the API send the next event only when the one before has been read.
func (c *Client) readEvents(ctx context.Context, l *lab, body io.Reader) error {
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if lines.Text() == "" { // the end of an event
			c.Events++
			l.read <- struct{}{}
		}
	}
	if lines.Err() != nil && ctx.Err() != nil {
		return fmt.Errorf("event %d did not arrive before the next one was sent", c.Events+1)
	}
	return lines.Err()
}

// errorMessage returns the message of an error body.
func errorMessage(body []byte) string {
	var refusal struct {
		Error struct{ Message string }
	}
	_ = json.Unmarshal(body, &refusal) // it is the proxy's own, or the mock API's
	return refusal.Error.Message
}

// record adds what the API received and what the rules did. The lab must be closed.
func (c *Client) record(l *lab, rules []Rule) error {
	for _, t := range l.proxy.Ended() {
		for i, done := range t.HeaderRules {
			rule := rules[i]
			rule.Result = done.Result
			c.Rules = append(c.Rules, rule)
		}
	}
	if len(l.received) != 1 {
		return fmt.Errorf("the API received the request %d times", len(l.received))
	}
	sent := c.header.Clone()
	if n := len(c.body); n > 0 {
		sent["Content-Length"] = []string{strconv.Itoa(n)}
	}
	c.received = l.received[0]
	c.Headers = compare(sent, c.received)
	for i, h := range c.Headers {
		if h.Received != nil && slices.ContainsFunc(rules, func(r Rule) bool { return r.hidden && r.header == h.Name }) {
			c.Headers[i].Received = []string{"(not shown)"}
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
		h := Header{Name: strings.ToLower(name), Sent: sent[name], Received: received[name]}
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
