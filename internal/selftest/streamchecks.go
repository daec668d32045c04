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

// checkPace has the upstream wait with each event for the client to have the one
// before. A proxy that holds one back waits for ever.
func checkPace(ctx context.Context, l *lab) error {
	got := make(chan struct{})
	l.witness.paced = got
	r, err := l.message(ctx, "long-5", true)
	if err != nil {
		return err
	}
	x, err := l.openStream(r)
	if err != nil {
		return err
	}
	defer x.leave()
	for events := 0; ; events++ {
		event, err := x.event()
		if err != nil {
			return fmt.Errorf("event %d did not come while the upstream waited with the next: %w", events+1, err)
		}
		select {
		case got <- struct{}{}:
		case <-ctx.Done():
			return errors.New("the upstream did not go on")
		}
		if strings.HasPrefix(event, "event: message_stop\n") {
			break
		}
	}
	if err := x.finish(ctx); err != nil {
		return err
	}
	return x.sameAnswer()
}

// checkEarly reads the answer to its last event before the request is sent to its
// end.
func checkEarly(ctx context.Context, l *lab) error {
	head, tail := `{"model":"early","stream":true,`, `"max_tokens":64}`
	body, rest := io.Pipe()
	// net/http waits for the read of a request body to end, whatever its context says.
	defer context.AfterFunc(ctx, func() { _ = rest.CloseWithError(ctx.Err()) })()
	defer rest.Close() //nolint:errcheck // of a pipe, never fails
	r, err := l.request(ctx, http.MethodPost, "/v1/messages", struct {
		io.Reader
		io.Closer // ends our writing when nobody reads any more
	}{io.MultiReader(strings.NewReader(head), body), body})
	if err != nil {
		return err
	}
	x, err := l.openStream(r)
	if err != nil {
		return err
	}
	defer x.leave()
	for event := ""; !strings.HasPrefix(event, "event: message_stop\n"); {
		if event, err = x.event(); err != nil {
			return fmt.Errorf("the answer did not come whole while the request was open: %w", err)
		}
	}
	if _, err := io.WriteString(rest, tail); err != nil {
		return fmt.Errorf("the rest of the request was not taken: %w", err)
	}
	_ = rest.Close() // never fails
	if err := x.finish(ctx); err != nil {
		return err
	}
	return errors.Join(x.sameBody([]byte(head+tail)), x.sameAnswer())
}

// checkErrorMidStream: the upstream's own error event, and a clean end after it.
func checkErrorMidStream(ctx context.Context, l *lab) error {
	x, err := l.get(ctx, "error-mid-stream", true)
	if err != nil {
		return err
	}
	return x.sameAnswer()
}

// checkCut: what came is there, one event says that it is not all, and no end
// follows that a client could take for one.
func checkCut(ctx context.Context, l *lab) error {
	x, err := l.get(ctx, "cut-mid-stream", true)
	if err != nil {
		return err
	}
	ours, whole := bytes.CutPrefix(x.body, x.seen.body.Bytes())
	switch {
	case x.broken == nil:
		return errors.New("the upstream broke off its answer, and the client got a clean end")
	case !whole:
		return fmt.Errorf("of %d bytes that the upstream sent before it broke off, not all arrived", x.seen.body.Len())
	case !bytes.HasPrefix(ours, []byte("event: error\ndata: ")) || !bytes.HasSuffix(ours, []byte("\n\n")):
		return errors.New("no event: error tells the client that the upstream broke off")
	}
	return nil
}

// deltasBeforeStall is how many the model "stall" sends.
const deltasBeforeStall = 2

// checkCancel leaves in the middle of a stream that has fallen silent.
func checkCancel(ctx context.Context, l *lab) error {
	asking, leave := context.WithCancel(ctx)
	defer leave()
	r, err := l.message(asking, "stall", true)
	if err != nil {
		return err
	}
	x, err := l.openStream(r)
	if err != nil {
		return err
	}
	// To leave earlier would fail a write, which tells the proxy by itself.
	for deltas := 0; deltas < deltasBeforeStall; {
		event, err := x.event()
		if err != nil {
			return fmt.Errorf("the stream did not begin: %w", err)
		}
		deltas += strings.Count(event, "event: content_block_delta\n")
	}
	leave()
	x.leave()
	if err := x.identify(ctx); err != nil {
		return err
	}
	if !x.seen.left {
		return errors.New("the answer ended by itself")
	}
	return nil
}
