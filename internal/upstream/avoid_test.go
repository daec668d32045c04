package upstream_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"oauth-proxyd/internal/upstream"
)

// A connection that refuses a request while it carries another gets none for a second, or the next
// attempt would end there as well. It is used again after exactly that time.
func TestConnectionThatRefusesIsAvoidedForAMoment(t *testing.T) {
	script := func(number int64, f *framed) {
		_ = f.WriteSettings()
		if number == 1 {
			f.begin(f.request(), "200", false)
			stream := f.request()
			f.write(func() { _ = f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) })
		}
		f.respondsToAll()
	}
	inBubble(t, script, func(t *testing.T, b *bubble) {
		begun(t, b.Pool, get(t))
		if _, _, err := attempt(b.Pool, get(t)); !errors.Is(err, upstream.ErrNotProcessed) {
			t.Errorf("error %v", err)
		}
		for _, number := range []uint64{2, 1} {
			c, err := b.Get(t.Context(), func() {})
			if err != nil {
				t.Error(err)
				return
			}
			if c.Number() != number {
				t.Errorf("connection %d, want %d", c.Number(), number)
			}
			c.Release()
			time.Sleep(time.Second + time.Millisecond) // past the timer of the same instant
		}
	})
}
