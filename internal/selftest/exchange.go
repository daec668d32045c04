package selftest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// apiKey opens nothing. A key passes every proxy untouched, whatever its rules.
const apiKey = "sk-ant-api03-selftest-not-a-key"

// exchange is a request and its answer at the client, and both at the upstream.
type exchange struct {
	lab     *lab
	answer  *http.Response
	body    []byte // what of it has been read
	broken  error  // why its end never came
	outcome outcome
	seen    *sighting
}

// request makes one that holds nothing but a key.
func (l *lab) request(ctx context.Context, method, target string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+l.listener.Addr().String(), body)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	r.URL = l.url(target)
	r.Header.Set("User-Agent", "oauth-proxyd-selftest")
	r.Header.Set("X-Api-Key", apiKey)
	return r, nil
}

// message asks for a message from a model that says what is to happen.
func (l *lab) message(ctx context.Context, model string, stream bool) (*http.Request, error) {
	return l.request(ctx, http.MethodPost, "/v1/messages", strings.NewReader(messageBody(model, stream)))
}

func messageBody(model string, stream bool) string {
	return fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":64,"messages":[{"role":"user","content":"hi"}]}`, model, stream)
}

// open sends a request and waits for the header of its answer.
func (l *lab) open(r *http.Request) (*exchange, error) {
	l.asked++
	answer, err := l.transport.RoundTrip(r) //nolint:bodyclose // finish and leave do
	if err != nil {
		return nil, fmt.Errorf("no answer came: %w", err)
	}
	return &exchange{lab: l, answer: answer}, nil
}

// openStream is open for a stream that is wanted: anything but a 200 is a fault.
func (l *lab) openStream(r *http.Request) (*exchange, error) {
	x, err := l.open(r)
	if err != nil {
		return nil, err
	}
	if x.answer.StatusCode != http.StatusOK {
		x.leave()
		return nil, fmt.Errorf("answered %d", x.answer.StatusCode)
	}
	return x, nil
}

// ask sends a request and waits until everything about it is known.
func (l *lab) ask(ctx context.Context, r *http.Request) (*exchange, error) {
	x, err := l.open(r)
	if err != nil {
		return nil, err
	}
	return x, x.finish(ctx)
}

// get is ask for an ordinary request.
func (l *lab) get(ctx context.Context, model string, stream bool) (*exchange, error) {
	r, err := l.message(ctx, model, stream)
	if err != nil {
		return nil, err
	}
	return l.ask(ctx, r)
}

// event reads on to the end of one server-sent event. The client must not wait for
// more than that.
func (x *exchange) event() (string, error) {
	start, one := len(x.body), make([]byte, 1)
	for !bytes.HasSuffix(x.body[start:], []byte("\n\n")) {
		n, err := x.answer.Body.Read(one)
		x.body = append(x.body, one[:n]...)
		if err != nil {
			return "", err
		}
	}
	return string(x.body[start:]), nil
}

// finish reads to the end, then waits for what proxy and upstream say of it.
func (x *exchange) finish(ctx context.Context) error {
	rest, err := io.ReadAll(x.answer.Body)
	x.body, x.broken = append(x.body, rest...), err
	x.leave()
	select {
	case x.outcome = <-x.lab.recorder.outcomes:
	case <-ctx.Done():
		return errors.New("the request did not come to its end in time")
	}
	return x.identify(ctx)
}

// leave is what a client does that has enough.
func (x *exchange) leave() { _ = x.answer.Body.Close() }

// identify finds the request at the upstream, where it must have come once.
func (x *exchange) identify(ctx context.Context) error {
	seen := x.lab.witness.all()
	switch {
	case len(seen) == 0 && x.outcome.reason != "":
		return fmt.Errorf("refused with %d: %s", x.answer.StatusCode, x.outcome.reason)
	case len(seen) != 1:
		return fmt.Errorf("the upstream received the request %d times; the answer was %d", len(seen), x.answer.StatusCode)
	}
	select {
	case <-seen[0].ended:
	case <-ctx.Done():
		return errors.New("the upstream did not learn in time that it was over")
	}
	x.seen = seen[0]
	if proto := x.seen.received.Proto; !strings.HasPrefix(proto, x.lab.protocol) {
		return fmt.Errorf("the upstream was spoken to in %s, not in %s", proto, x.lab.protocol)
	}
	return nil
}
