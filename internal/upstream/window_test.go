package upstream_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// idleReaders fit on one connection beside the fast ones. Together they stay below the 250
	// streams that net/http's server allows: at its limit it may still count a stream whose end it
	// has sent, and resets the next one with PROTOCOL_ERROR.
	idleReaders = 200
	fastReaders = 10
)

// Clients that read nothing of a large response hold up nobody who shares their connection, and the
// upstream can send only so much to each of them.
func TestClientsThatReadNothingHoldUpNobody(t *testing.T) {
	t.Parallel()
	var written [idleReaders]atomic.Int64
	o := serveHTTP(t, "h2", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/large" {
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
			return
		}
		n := &written[r.ContentLength]
		for {
			m, err := w.Write(make([]byte, 4<<10))
			if err != nil {
				return
			}
			n.Add(int64(m))
		}
	})
	pool := o.pool(t)
	succeeds(t, pool)
	for i := range idleReaders {
		r := post(t, strings.NewReader(strings.Repeat("x", i)), int64(i))
		r.URL.Path = "/large"
		begun(t, pool, r)
	}
	full(t, &written)
	var work sync.WaitGroup
	for range fastReaders {
		work.Go(func() {
			for range 5 {
				succeeds(t, pool)
			}
		})
	}
	work.Wait()
	c, err := pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Release(); c.Number() != 1 {
		t.Error("they do not share a connection")
	}
	for i := range written {
		if n := written[i].Load(); n > 512<<10 {
			t.Fatalf("%d bytes were sent to a client that reads nothing", n)
		}
	}
}

// full waits until the upstream can send no more.
func full(t *testing.T, written *[idleReaders]atomic.Int64) {
	t.Helper()
	total := func() (n int64) {
		for i := range written {
			n += written[i].Load()
		}
		return n
	}
	late := time.After(patience)
	for before := int64(-1); ; {
		select {
		case <-time.After(300 * time.Millisecond):
		case <-late:
			t.Fatal("the upstream goes on sending")
		}
		now := total()
		if now == before {
			return
		}
		before = now
	}
}
