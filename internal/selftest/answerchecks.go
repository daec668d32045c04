package selftest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// checkAnswer asks for more than any buffer on the way holds.
func checkAnswer(ctx context.Context, l *lab) error {
	x, err := l.get(ctx, "long-20000", false)
	if err != nil {
		return err
	}
	return errors.Join(x.sameAnswer(), x.sameHeader())
}

// sameAnswer compares status and body with what the upstream sent.
func (x *exchange) sameAnswer() error {
	switch {
	case x.answer.StatusCode != x.seen.status:
		return fmt.Errorf("the upstream answered %d, the client got %d", x.seen.status, x.answer.StatusCode)
	case x.broken != nil:
		return fmt.Errorf("the answer broke off: %w", x.broken)
	case !bytes.Equal(x.body, x.seen.body.Bytes()):
		return fmt.Errorf("the upstream sent %d bytes, the client got %d that are not the same", x.seen.body.Len(), len(x.body))
	}
	return nil
}

// sameHeader compares all header lines of the answer. Date is net/http's at both
// ends, and x-request-id is what the proxy adds.
func (x *exchange) sameHeader() error {
	for _, name := range slices.Sorted(maps.Keys(x.seen.header)) {
		if sent, got := x.seen.header[name], x.answer.Header[name]; name != "Trailer" && !slices.Equal(sent, got) {
			return fmt.Errorf("the answer's header %s: sent %q, arrived %q", strings.ToLower(name), sent, got)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.answer.Header)) {
		_, sent := x.seen.header[name]
		if !sent && name != "Date" && name != "X-Request-Id" && name != "Connection" {
			return fmt.Errorf("the answer's header %s was not sent by the upstream", strings.ToLower(name))
		}
	}
	return nil
}

// checkGzip sends a compressed message and asks for a compressed response.
func checkGzip(ctx context.Context, l *lab) error {
	sent := zipped(messageBody("gzip", true))
	r, err := l.request(ctx, http.MethodPost, "/v1/messages", bytes.NewReader(sent))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Encoding", "gzip")
	r.Header.Set("Accept-Encoding", "gzip")
	x, err := l.ask(ctx, r)
	if err != nil {
		return err
	}
	if err := x.sameBody(sent); err != nil {
		return err
	}
	if got := x.seen.received.Header["Content-Encoding"]; !slices.Equal(got, []string{"gzip"}) {
		text := fmt.Sprintf("the client's content-encoding arrived as %q", got)
		if l.ruled("Content-Encoding") {
			return caution{text + ": a rule changes it, and the API cannot read compressed requests"}
		}
		return errors.New(text)
	}
	if asked := x.seen.received.Header["Accept-Encoding"]; !slices.Equal(asked, []string{"gzip"}) {
		text := fmt.Sprintf("the client's accept-encoding arrived as %q", asked)
		if l.ruled("Accept-Encoding") {
			return caution{text + ": a rule changes it, and answers may come uncompressed"}
		}
		return errors.New(text)
	}
	return errors.Join(x.sameAnswer(), x.sameHeader())
}

// zipped is text in gzip format.
func zipped(text string) []byte {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	_, _ = zip.Write([]byte(text)) // memory takes all of it
	_ = zip.Close()
	return out.Bytes()
}

// ruled: a rule names the header.
func (l *lab) ruled(name string) bool {
	for _, h := range l.settings.Headers {
		if h.Name == name {
			return true
		}
	}
	return false
}

func checkTrailers(ctx context.Context, l *lab) error {
	// A body of unknown length is chunked, as trailers need (RFC 9112 §7.1.2).
	body := io.MultiReader(strings.NewReader(messageBody("trailers", true)))
	r, err := l.request(ctx, http.MethodPost, "/v1/messages", body)
	if err != nil {
		return err
	}
	r.Header.Set("Te", "trailers")
	r.Trailer = http.Header{"X-Selftest-Sum": {"42"}}
	x, err := l.ask(ctx, r)
	if err != nil {
		return err
	}
	if got := x.seen.received.Trailer.Get("X-Selftest-Sum"); got != "42" {
		return fmt.Errorf("the request's trailer did not arrive; the upstream got %q", got)
	}
	for _, name := range slices.Sorted(maps.Keys(x.seen.trailer)) {
		if sent, got := x.seen.trailer[name], x.answer.Trailer[name]; !slices.Equal(sent, got) {
			return fmt.Errorf("the answer's trailer %s: sent %q, arrived %q", strings.ToLower(name), sent, got)
		}
	}
	return x.sameAnswer()
}

// checkRefusals: a client that cannot read when to come back comes at once.
func checkRefusals(ctx context.Context, l *lab) error {
	l.witness.header = http.Header{"Retry-After": {"7"}}
	for _, status := range []int{http.StatusTooManyRequests, 529} {
		x, err := l.get(ctx, fmt.Sprintf("error-%d", status), false)
		if err != nil {
			return err
		}
		l.witness.forget()
		if x.answer.StatusCode != status {
			return fmt.Errorf("the upstream answered %d, the client got %d", status, x.answer.StatusCode)
		}
		if err := errors.Join(x.sameAnswer(), x.sameHeader()); err != nil {
			return fmt.Errorf("%d: %w", status, err)
		}
	}
	return nil
}
