package proxy

import (
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gatedConn takes each write when it is let.
type gatedConn struct {
	net.Conn
	let    chan error // what the next write says
	short  int        // what one that fails takes
	writes []string
	closed bool
}

func (c *gatedConn) Write(p []byte) (int, error) {
	if err := <-c.let; err != nil {
		return min(c.short, len(p)), err
	}
	c.writes = append(c.writes, string(p))
	return len(p), nil
}

func (c *gatedConn) SetWriteDeadline(time.Time) error { return nil }

func (c *gatedConn) Close() error {
	c.closed = true
	return nil
}

// gathering tests in a bubble, where all that can go on has gone on after
// synctest.Wait.
func gathering(t *testing.T, test func(*testing.T, *countedConn, *gatedConn)) {
	synctest.Test(t, func(t *testing.T) {
		under := &gatedConn{let: make(chan error)}
		test(t, &countedConn{Conn: under, out: newGather(under, &sync.Pool{})}, under)
	})
}

func mustWrite(t *testing.T, c net.Conn, pieces ...string) {
	t.Helper()
	for _, p := range pieces {
		if n, err := c.Write([]byte(p)); n != len(p) || err != nil {
			t.Fatalf("writing %q: %d, %v", p, n, err)
		}
	}
}

func (c *gatedConn) want(t *testing.T, writes ...string) {
	t.Helper()
	synctest.Wait()
	if len(c.writes) != len(writes) {
		t.Fatalf("%d writes %.100q, want %d", len(c.writes), c.writes, len(writes))
	}
	for i, w := range writes {
		if c.writes[i] != w {
			t.Errorf("write %d is %.100q, want %.100q", i, c.writes[i], w)
		}
	}
}

func TestPiecesAreWrittenTogether(t *testing.T) {
	gathering(t, func(t *testing.T, c *countedConn, under *gatedConn) {
		mustWrite(t, c, "first")
		synctest.Wait() // its write is under way
		mustWrite(t, c, "header ", "body ", "and more")
		under.let <- nil
		under.let <- nil
		under.want(t, "first", "header body and more")
		mustWrite(t, c, "later")
		under.let <- nil
		under.want(t, "first", "header body and more", "later")
	})
}

// An upstream that takes nothing holds up who sends to it.
func TestWritesWaitForAFullUpstream(t *testing.T) {
	gathering(t, func(t *testing.T, c *countedConn, under *gatedConn) {
		large := string(make([]byte, gatherLimit))
		mustWrite(t, c, "first")
		synctest.Wait()
		mustWrite(t, c, large)
		done := false
		go func() {
			mustWrite(t, c, "last")
			done = true
		}()
		synctest.Wait()
		if done {
			t.Error("more than the limit is pending")
		}
		under.let <- nil
		synctest.Wait()
		if !done {
			t.Error("there is room, and the write still waits")
		}
		under.let <- nil
		under.let <- nil
		under.want(t, "first", large, "last")
	})
}

// A request that never reached the kernel may be sent again; one that waits to be
// written may not, as it still will be.
func TestUnwrittenPiecesCountAsSentUntilTheyFail(t *testing.T) {
	broken := errors.New("broken")
	gathering(t, func(t *testing.T, c *countedConn, under *gatedConn) {
		m := (&upstreamConn{raw: c}).mark()
		mustWrite(t, c, "request")
		synctest.Wait()
		mustWrite(t, c, "its body")
		if m.nothingSent() {
			t.Error("what waits to be written counts as never sent")
		}
		under.let <- broken
		synctest.Wait()
		if !m.nothingSent() {
			t.Error("what failed counts as sent")
		}
		if _, err := c.Write([]byte("more")); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
		under.want(t)
	})
}

// What one write takes of several requests tells how many were sent. An answer to one
// that was not is none.
func TestWriteThatBreaksOff(t *testing.T) {
	requests := []string{"first", "second", "third"}
	for short := range len("firstsecondthird") {
		gathering(t, func(t *testing.T, c *countedConn, under *gatedConn) {
			mustWrite(t, c, "before")
			synctest.Wait()
			var marks []*mark
			for _, r := range requests {
				marks = append(marks, (&upstreamConn{raw: c}).mark())
				mustWrite(t, c, r)
			}
			under.let <- nil
			synctest.Wait()
			under.short = short
			under.let <- errors.New("broken")
			synctest.Wait()
			c.read.Add(1)
			begin := 0
			for i, m := range marks {
				m.hear()
				if sent := short > begin; m.nothingSent() == sent || m.unasked.Load() == sent {
					t.Errorf("%d bytes written: %q sent %t, asked %t", short, requests[i], !m.nothingSent(), !m.unasked.Load())
				}
				begin += len(requests[i])
			}
		})
	}
}

// The end of a body may still wait to be written when its answer has come, and the next
// request behind it.
func TestAnswerBeforeTheRequestWasWritten(t *testing.T) {
	gathering(t, func(t *testing.T, c *countedConn, under *gatedConn) {
		mustWrite(t, c, "body")
		synctest.Wait()
		mustWrite(t, c, "its end")
		m := (&upstreamConn{raw: c}).mark()
		under.let <- nil
		synctest.Wait()
		c.read.Add(1)
		m.hear()
		if !m.unasked.Load() {
			t.Error("bytes of the request before count as this one's")
		}
		under.let <- nil
	})
}

// HTTP/2 and TLS say goodbye in their last write.
func TestCloseWritesWhatIsPending(t *testing.T) {
	gathering(t, func(t *testing.T, c *countedConn, under *gatedConn) {
		closed := make(chan error)
		mustWrite(t, c, "goodbye")
		go func() { closed <- c.Close() }()
		under.let <- nil
		if err := <-closed; err != nil || !under.closed {
			t.Errorf("error %v, closed %v", err, under.closed)
		}
		under.want(t, "goodbye")
		if _, err := c.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCloseDoesNotWaitForAStuckWrite(t *testing.T) {
	gathering(t, func(t *testing.T, c *countedConn, under *gatedConn) {
		mustWrite(t, c, "stuck")
		synctest.Wait()
		mustWrite(t, c, "goodbye")
		if err := c.Close(); err != nil || !under.closed {
			t.Errorf("error %v, closed %v", err, under.closed)
		}
		under.let <- net.ErrClosed
		under.want(t)
	})
}

func TestCloseWaitsAMomentForAPeerThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		under, peer := net.Pipe()
		defer peer.Close()
		c := &countedConn{Conn: under, out: newGather(under, &sync.Pool{})}
		mustWrite(t, c, "goodbye")
		start := time.Now()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > partingTime {
			t.Errorf("it took %v", took)
		}
	})
}
