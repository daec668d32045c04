package upstream_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/upstream"
)

// A connection that said nothing for a while is asked before it gets a request; the request goes to
// another one when the path is dead.
func TestQuietConnectionIsAskedFirst(t *testing.T) {
	second := make(chan string, 1)
	script := func(number int64, f *framed) {
		_ = f.WriteSettings()
		if number > 1 {
			f.respondsToAll()
			return
		}
		f.respond(f.request(), "200", "ok")
		for frame, err := f.ReadFrame(); err == nil; frame, err = f.ReadFrame() {
			if frame.Header().StreamID > 1 {
				second <- frame.Header().String()
			}
		}
	}
	inBubble(t, script, func(t *testing.T, b *bubble) {
		succeeds(t, b.Pool)
		time.Sleep(3 * time.Second)
		start := time.Now()
		c, err := b.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < time.Second || took > 1500*time.Millisecond {
			t.Errorf("another connection was had after %v", took)
		}
		if c.Number() != 2 {
			t.Errorf("connection %d", c.Number())
		}
		c.Release()
		time.Sleep(time.Minute)
		if len(second) > 0 {
			t.Errorf("the dead connection got %s", <-second)
		}
	})
}

func TestQuietConnectionThatRespondsIsUsed(t *testing.T) {
	inBubble(t, func(_ int64, f *framed) { settles(f) }, func(t *testing.T, b *bubble) {
		for range 5 {
			succeeds(t, b.Pool)
			time.Sleep(10 * time.Second)
		}
		if n := b.dials.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// A connection is kept for 90 seconds after its last request, and closed with the next check.
func TestIdleConnectionIsClosed(t *testing.T) {
	inBubble(t, func(_ int64, f *framed) { settles(f) }, func(t *testing.T, b *bubble) {
		succeeds(t, b.Pool)
		time.Sleep(80 * time.Second)
		succeeds(t, b.Pool)
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{89 * time.Second, 1}, {12 * time.Second, 0}} {
			time.Sleep(step.after)
			if n := b.Route().Connections; n != step.want {
				t.Errorf("%d connections, want %d", n, step.want)
			}
		}
		if n := b.dials.Load(); n != 1 {
			t.Errorf("%d connections were made", n)
		}
	})
}

// Requests on a path that went silent end within half a minute, wherever they are. They may have
// been processed.
func TestRequestsOnADeadPathEnd(t *testing.T) {
	script := func(_ int64, f *framed) {
		_ = f.WriteSettings()
		f.begin(f.request(), "200", false)
		f.request()
		f.mute()
	}
	inBubble(t, script, func(t *testing.T, b *bubble) {
		first := begun(t, b.Pool, get(t))
		start := time.Now()
		var work sync.WaitGroup
		ended := func(what string, err error) {
			took := time.Since(start)
			if took < 20*time.Second || took > 30*time.Second {
				t.Errorf("%s ended after %v", what, took)
			}
			if err == nil || errors.Is(err, upstream.ErrNotProcessed) || !strings.Contains(err.Error(), "pings") {
				t.Errorf("%s ended with %v", what, err)
			}
		}
		work.Go(func() {
			_, err := io.ReadAll(first.Body)
			ended("the response", err)
		})
		work.Go(func() {
			_, _, err := attempt(b.Pool, get(t))
			ended("the request", err)
		})
		work.Wait()
	})
}

// A model may think for minutes. Its connection is not dead while it responds to pings.
func TestLongThoughtIsNotADeadPath(t *testing.T) {
	script := func(_ int64, f *framed) {
		_ = f.WriteSettings()
		stream := f.request()
		time.AfterFunc(9*time.Minute, func() { f.respond(stream, "200", "ok") })
		f.untilEnd()
	}
	inBubble(t, script, func(t *testing.T, b *bubble) {
		if _, body, err := attempt(b.Pool, get(t)); err != nil || body != "ok" {
			t.Errorf("the response is %q, %v", body, err)
		}
	})
}

// Requests that come while a connection is asked share the question, and another connection.
func TestBurstOnADeadPath(t *testing.T) {
	script := func(number int64, f *framed) {
		_ = f.WriteSettings()
		if number > 1 {
			f.respondsToAll()
			return
		}
		f.respond(f.request(), "200", "ok")
		f.mute()
	}
	inBubble(t, script, func(t *testing.T, b *bubble) {
		succeeds(t, b.Pool)
		time.Sleep(5 * time.Second)
		start := time.Now()
		var work sync.WaitGroup
		for range 100 {
			work.Go(func() { succeeds(t, b.Pool) })
		}
		work.Wait()
		if took := time.Since(start); took > 1500*time.Millisecond || b.dials.Load() > 3 {
			t.Errorf("it took %v and %d connections", took, b.dials.Load())
		}
	})
}

// A request whose client leaves while the connection is asked takes no slot.
func TestLeavingWhileAConnectionIsAsked(t *testing.T) {
	script := func(_ int64, f *framed) {
		_ = f.WriteSettings()
		f.respond(f.request(), "200", "ok")
		f.mute()
	}
	inBubble(t, script, func(t *testing.T, b *bubble) {
		succeeds(t, b.Pool)
		time.Sleep(5 * time.Second)
		left := errors.New("left")
		ctx, leave := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { leave(left) })
		if _, err := b.Get(ctx); !errors.Is(err, left) {
			t.Errorf("error %v", err)
		}
		if n := upstream.InUse(b.Pool); n != 0 {
			t.Errorf("%d slots are taken", n)
		}
	})
}
