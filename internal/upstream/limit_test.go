package upstream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"oauth-proxyd/internal/upstream"
)

// sendAll sends so many requests at once, each of which must succeed at its first attempt.
func sendAll(t *testing.T, pool *upstream.Pool, size int) {
	t.Helper()
	var work sync.WaitGroup
	for range size {
		work.Go(func() { succeeds(t, pool) })
	}
	work.Wait()
}

// A limit of zero may stand for "not yet": waiting requests are not refused while it may still be
// raised.
func TestLimitOfZeroForAMoment(t *testing.T) {
	const after, burst = 500 * time.Millisecond, 50
	inBubble(t, func(_ int64, f *framed) {
		f.limit(0)
		time.AfterFunc(after, func() { f.limit(burst) }) // meanwhile it reads what the client writes
		f.respondsToAll()
	}, func(t *testing.T, b *bubble) {
		start := time.Now()
		sendAll(t, b.Pool, burst)
		if took := time.Since(start); took != after || b.dials.Load() != 1 {
			t.Errorf("it took %v and %d connections", took, b.dials.Load())
		}
	})
}

// A limit that is raised holds for the next request.
func TestRaisedLimitIsUsed(t *testing.T) {
	const burst = 50
	inBubble(t, func(_ int64, f *framed) {
		f.limit(1)
		f.respond(f.request(), "200", "ok")
		f.limit(burst)
		holds(t, f, burst)
	}, func(t *testing.T, b *bubble) {
		succeeds(t, b.Pool)
		synctest.Wait() // the higher limit is there
		places(t, b.Pool, burst, 1)
	})
}

// A connection carries only so many requests, whatever its peer takes.
func TestLimitOfOurOwn(t *testing.T) {
	inBubble(t, func(_ int64, f *framed) {
		f.limit(1000)
		f.respondsToAll()
	}, func(t *testing.T, b *bubble) {
		succeeds(t, b.Pool)
		places(t, b.Pool, upstream.MaxStreams, 1)
		places(t, b.Pool, upstream.MaxStreams+1, 2)
	})
}

// places takes so many slots at once, which must be on so many connections.
func places(t *testing.T, pool *upstream.Pool, slots int, conns uint64) {
	t.Helper()
	var most uint64
	for range slots {
		c, err := pool.Get(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Release()
		most = max(most, c.Number())
	}
	if most != conns {
		t.Errorf("%d slots are on %d connections, want %d", slots, most, conns)
	}
}

// A stream counts for the peer until it has our reset of it. One that is opened before that, above
// the peer's limit, is refused in a way that does not prove it unprocessed.
func TestCancelledStreamsCountUntilReset(t *testing.T) {
	const streams, rounds = 16, 30
	config, roots := certified(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}))
	server.TLS, server.EnableHTTP2 = config, true
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: streams}
	server.StartTLS()
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	pool := (&origin{url: u, roots: roots}).pool(t)
	for range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var first, second sync.WaitGroup
		begin := func(work *sync.WaitGroup, ctx context.Context) {
			work.Go(func() {
				if _, _, err := attempt(pool, get(t).WithContext(ctx)); err != nil && strings.Contains(err.Error(), "PROTOCOL_ERROR") {
					t.Errorf("the peer refused a stream: %v", err)
				}
			})
		}
		for range streams {
			begin(&first, ctx)
		}
		again, end := context.WithTimeout(t.Context(), 40*time.Millisecond)
		for range streams {
			begin(&second, again)
		}
		time.AfterFunc(10*time.Millisecond, cancel)
		first.Wait()
		second.Wait()
		end()
	}
}

// A connection that refused a stream gets no other request, or the next attempt would end there as
// well. The requests on it go on.
func TestConnectionThatRefusesIsDrained(t *testing.T) {
	script := func(number int64, f *framed) {
		_ = f.WriteSettings()
		if number == 1 {
			first := f.request()
			f.begin(first, "200", false)
			refused := f.request()
			f.write(func() { _ = f.WriteRSTStream(refused, http2.ErrCodeRefusedStream) })
			f.write(func() { _ = f.WriteData(first, true, []byte("ok")) })
		}
		f.respondsToAll()
	}
	inBubble(t, script, func(t *testing.T, b *bubble) {
		first := begun(t, b.Pool, get(t))
		if _, _, err := attempt(b.Pool, get(t)); !errors.Is(err, upstream.ErrNotProcessed) {
			t.Errorf("error %v", err)
		}
		succeeds(t, b.Pool)
		if body, err := io.ReadAll(first.Body); string(body) != "ok" || err != nil {
			t.Errorf("the response on the connection is %q, %v", body, err)
		}
		if n := b.dials.Load(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
}
