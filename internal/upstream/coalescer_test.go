package upstream

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// gatedConn takes each write when it is let.
type gatedConn struct {
	net.Conn
	let    chan error // what the next write says
	short  int        // what one that fails takes
	mu     sync.Mutex // guards writes
	writes []string
}

// Write implements net.Conn.
func (c *gatedConn) Write(p []byte) (int, error) {
	if err := <-c.let; err != nil {
		return min(c.short, len(p)), err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, string(p))
	return len(p), nil
}

// Close implements net.Conn.
func (c *gatedConn) Close() error { return nil }

func (c *gatedConn) want(t *testing.T, writes ...string) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.writes) != len(writes) {
		t.Fatalf("%d writes %.100q, want %d", len(c.writes), c.writes, len(writes))
	}
	for i, w := range writes {
		if c.writes[i] != w {
			t.Errorf("write %d is %.100q, want %.100q", i, c.writes[i], w)
		}
	}
}

// coalescing tests in a bubble, where all that can go on has gone on after synctest.Wait. There is
// one processor, so that what a test writes in a row is pending together.
func coalescing(t *testing.T, test func(*testing.T, *Conn, *gatedConn)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		under := &gatedConn{let: make(chan error)}
		test(t, connOver(under), under)
	})
}

// connOver writes to c by way of a coalescer.
func connOver(c net.Conn) *Conn {
	s := &socket{Conn: c}
	conn := &Conn{}
	conn.wire = &wire{Conn: c, socket: s, tcp: c, closed: func() {}, out: &coalescer{conn: c, broken: func() {}}}
	return conn
}

func mustWrite(t *testing.T, c *Conn, pieces ...string) {
	t.Helper()
	for _, p := range pieces {
		if n, err := c.wire.Write([]byte(p)); n != len(p) || err != nil {
			t.Errorf("writing %q: %d, %v", p, n, err)
		}
	}
}

func TestPiecesAreWrittenTogether(t *testing.T) {
	coalescing(t, func(t *testing.T, c *Conn, under *gatedConn) {
		mustWrite(t, c, "header ", "body ", "and more")
		under.let <- nil
		under.want(t, "header body and more")
		mustWrite(t, c, "later")
		under.let <- nil
		under.want(t, "header body and more", "later")
	})
}

// An upstream that reads nothing blocks the writers until it reads or the connection breaks.
func TestWritesWaitForAFullUpstream(t *testing.T) {
	for name, broken := range map[string]error{"it reads": nil, "it breaks": errors.New("broken")} {
		t.Run(name, func(t *testing.T) {
			coalescing(t, func(t *testing.T, c *Conn, under *gatedConn) {
				mustWrite(t, c, "first")
				synctest.Wait() // its write is under way
				var done atomic.Bool
				go func() {
					mustWrite(t, c, "last")
					done.Store(true)
				}()
				if runtime.Gosched(); done.Load() {
					t.Error("a write did not wait for the one under way")
				}
				under.let <- broken
				if broken != nil {
					under.want(t)
				} else {
					under.let <- nil
					under.want(t, "first", "last")
				}
				if !done.Load() {
					t.Error("the write still waits")
				}
			})
		})
	}
}

// WINDOW_UPDATE frames wait for a while, but not when they are needed, and only over HTTP/2.
func TestWindowUpdatesWaitForOthers(t *testing.T) {
	update := func(stream byte, credit uint16) string {
		return string([]byte{0, 0, 4, frameWindowUpdate, 0, 0, 0, 0, stream, 0, 0, byte(credit >> 8), byte(credit)})
	}
	few := update(0, 4096) + update(1, 4096)
	many := update(3, heldCredit-4096)
	ping := string([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	for name, row := range map[string]struct {
		first, next string
		wait        time.Duration
		writes      []string
	}{
		"for a moment":        {few, "", heldTime, []string{few}},
		"for another frame":   {few, ping, 0, []string{few + ping}},
		"no longer than it":   {few, ping, heldTime, []string{few + ping}},
		"until they are many": {few, many, 0, []string{few + many}},
		"not after a frame":   {ping, few, 0, []string{ping + few}},
		"not what looks so":   {few + "x", "", 0, []string{few + "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			coalescing(t, func(t *testing.T, c *Conn, under *gatedConn) {
				close(under.let)
				c.wire.out.http2 = true
				mustWrite(t, c, row.first)
				if row.wait > 0 {
					time.Sleep(heldTime - 1)
					under.want(t)
				}
				if row.next != "" {
					mustWrite(t, c, row.next)
				}
				time.Sleep(row.wait)
				under.want(t, row.writes...)
			})
		})
	}
	coalescing(t, func(t *testing.T, c *Conn, under *gatedConn) {
		close(under.let)
		mustWrite(t, c, few)
		under.want(t, few)
	})
}

// Each frame that waits does so for heldTime, also after an earlier one was written.
func TestWindowUpdatesWaitAgain(t *testing.T) {
	coalescing(t, func(t *testing.T, c *Conn, under *gatedConn) {
		close(under.let)
		c.wire.out.http2 = true
		var want []string
		for i := range byte(3) {
			update := string([]byte{0, 0, 4, frameWindowUpdate, 0, 0, 0, 0, i, 0, 0, 16, 0})
			mustWrite(t, c, update)
			time.Sleep(heldTime - 1)
			under.want(t, want...)
			time.Sleep(1 * time.Nanosecond)
			want = append(want, update)
			under.want(t, want...)
		}
	})
}

// A large piece keeps its position, is not copied, and blocks its writer.
func TestLargePiecesAreWrittenAlone(t *testing.T) {
	coalescing(t, func(t *testing.T, c *Conn, under *gatedConn) {
		large := string(make([]byte, coalescerLimit))
		var done atomic.Bool
		go func() {
			mustWrite(t, c, "header", large)
			done.Store(true)
		}()
		under.let <- nil
		if done.Load() {
			t.Error("the large write did not wait for the upstream")
		}
		under.let <- nil
		synctest.Wait()
		mustWrite(t, c, "later")
		under.let <- nil
		under.want(t, "header", large, "later")
	})
}

// A request that never reached the kernel may be sent again; one that waits to be written may not,
// as it still will be.
func TestUnwrittenPiecesCountAsSentUntilTheyFail(t *testing.T) {
	coalescing(t, func(t *testing.T, c *Conn, under *gatedConn) {
		start := c.wire.position()
		mustWrite(t, c, "request", "its body")
		if c.wire.nothingSent(start) {
			t.Error("what waits to be written counts as never sent")
		}
		under.let <- errors.New("broken")
		synctest.Wait()
		if !c.wire.nothingSent(start) {
			t.Error("what failed counts as sent")
		}
		mustWrite(t, c, "more") // which is dropped
		if !c.wire.nothingSent(start) {
			t.Error("what came after the failure counts as sent")
		}
		under.want(t)
	})
}

// How many bytes of several requests one write takes tells how many requests were sent. A response
// to an unsent request is not a response.
func TestWriteThatIsCut(t *testing.T) {
	requests := []string{"first", "second", "third"}
	for short := range len("firstsecondthird") {
		coalescing(t, func(t *testing.T, c *Conn, under *gatedConn) {
			mustWrite(t, c, "before")
			under.let <- nil
			synctest.Wait()
			var starts []position
			for _, r := range requests {
				starts = append(starts, c.wire.position())
				mustWrite(t, c, r)
			}
			under.short = short
			under.let <- errors.New("broken")
			synctest.Wait()
			c.wire.socket.received.Add(1)
			begin := 0
			for i, start := range starts {
				if sent := short > begin; c.wire.nothingSent(start) == sent || c.unsolicited(start) == sent {
					t.Errorf("%d bytes written: %q sent %t, asked %t", short, requests[i], !c.wire.nothingSent(start), !c.unsolicited(start))
				}
				begin += len(requests[i])
			}
		})
	}
}

// The end of a body may still wait to be written when its response has come, and the next request
// behind it.
func TestResponseBeforeTheRequestWasWritten(t *testing.T) {
	coalescing(t, func(t *testing.T, c *Conn, under *gatedConn) {
		mustWrite(t, c, "body")
		under.let <- nil
		synctest.Wait()
		mustWrite(t, c, "its end")
		start := c.wire.position()
		synctest.Wait() // its write is under way
		c.wire.socket.received.Add(1)
		if !c.unsolicited(start) {
			t.Error("bytes of the request before count as this one's")
		}
		under.let <- nil
	})
}

// Close waits a moment for a write that is stuck, then ends it.
func TestCloseEndsAStuckWrite(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := connOver(near)
	mustWrite(t, c, "stuck")
	for c.wire.out.written.Load() == 0 {
		runtime.Gosched()
	}
	start := time.Now()
	_ = c.wire.Close()
	if took := time.Since(start); took < closeTime {
		t.Errorf("it took %v", took)
	}
}

// TLS says goodbye in a last write.
func TestCloseWaitsAMomentForAPeerThatTakesNothing(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Close()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go func() { _ = tls.Server(far, server.TLS).Handshake() }()
		under := tls.Client(&socket{Conn: near}, &tls.Config{InsecureSkipVerify: true})
		if err := under.Handshake(); err != nil {
			t.Fatal(err)
		}
		w := newWire(newConn(&Pool{}), under)
		w.closed = func() {}
		start := time.Now()
		_ = w.Close()
		if took := time.Since(start); took != closeTime {
			t.Errorf("it took %v", took)
		}
	})
}

// What goroutines write that are ready at the same time is one write.
func TestReadyWritersShareAWrite(t *testing.T) {
	coalescing(t, func(t *testing.T, c *Conn, under *gatedConn) {
		const rounds, writers = 20, 3
		close(under.let)
		for range rounds {
			for range writers {
				go mustWrite(t, c, "x")
			}
			synctest.Wait()
		}
		if n := len(under.writes); n >= 2*rounds {
			t.Errorf("%d writes of %d pieces", n, rounds*writers)
		}
	})
}
