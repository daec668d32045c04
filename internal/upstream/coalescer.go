package upstream

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// coalescerLimit is how many bytes may wait to be written before a write waits for them.
	coalescerLimit = 16 << 10
	// drainTime is how long a connection on which a write failed may still be read from.
	drainTime = 30 * time.Second
)

// coalescer writes to a connection, in one call, all that comes within one turn of the scheduler:
// the header of a request and its body, which net/http flushes one by one, and over HTTP/2 what all
// streams have to say at the moment. A call to the kernel and a TLS record cost more than
// everything else that is done with a small piece. There is no timer: a piece waits for the
// goroutines that are ready to add to it, and for nobody when there are none.
//
//	write ──> pending ──> flush (one goroutine while there is something) ──> conn
//	  waits while pending holds coalescerLimit
//
// A write does not report that the connection broke. A peer that responds early and closes makes
// writes fail while its response waits to be read (RFC 9112 §9.6), and net/http would throw that
// away. Reading tells how the connection ended.
type coalescer struct {
	conn   io.Writer
	spares *sync.Pool // of *[]byte, for pending
	broken func()     // a write failed; called once, without a lock

	taken   atomic.Int64 // bytes accepted, less those that are known to be never sent
	written atomic.Int64 // bytes handed to conn

	mu      sync.Mutex
	change  sync.Cond // pending became shorter, or failed was set
	pending *[]byte   // nil: nothing
	running bool      // flush is to take what is pending
	writing bool      // a write is under way
	failed  bool      // nothing can be written any more
	reset   bool      // a write was told that the peer reset the connection without a FIN
}

func newCoalescer(conn io.Writer, spares *sync.Pool, broken func()) *coalescer {
	g := &coalescer{conn: conn, spares: spares, broken: broken}
	g.change.L = &g.mu
	return g
}

// write takes p over. After a failure it drops it.
func (g *coalescer) write(p []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.failed && g.pending != nil && len(*g.pending) >= coalescerLimit {
		g.change.Wait()
	}
	if g.failed {
		return
	}
	g.taken.Add(int64(len(p)))
	if g.pending == nil {
		g.pending = g.spare()
	}
	*g.pending = append(*g.pending, p...)
	if !g.running {
		g.running = true
		go g.flush()
	}
}

// flush writes until nothing is pending, after everybody who is ready to write has had a turn.
func (g *coalescer) flush() {
	runtime.Gosched()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.pending != nil && !g.writing {
		g.send()
	}
	g.running = false
}

// send writes what is pending. The caller holds mu, which is free meanwhile.
func (g *coalescer) send() {
	out := g.pending
	g.pending, g.writing = nil, true
	g.written.Add(int64(len(*out)))
	g.mu.Unlock()
	n, err := g.conn.Write(*out)
	if err != nil {
		g.broken()
	}
	g.mu.Lock()
	g.writing = false
	unsent := int64(len(*out) - n)
	g.written.Add(-unsent)
	g.taken.Add(-unsent)
	g.putBack(out)
	if err != nil {
		g.reset = errors.Is(err, syscall.ECONNRESET)
		g.fail()
	}
	g.change.Broadcast()
}

// wasReset reports whether a write was told of a reset, which the kernel tells only once: the next
// read seems to get a FIN. The connection must be gone, or a write that is under way might last.
func (g *coalescer) wasReset() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.writing {
		g.change.Wait()
	}
	return g.reset
}

// fail drops what is pending. The caller holds mu.
func (g *coalescer) fail() {
	g.failed = true
	if g.pending != nil {
		g.taken.Add(-int64(len(*g.pending)))
		g.putBack(g.pending)
		g.pending = nil
	}
	g.change.Broadcast()
}

func (g *coalescer) spare() *[]byte {
	if p, ok := g.spares.Get().(*[]byte); ok {
		return p
	}
	return &[]byte{}
}

// putBack keeps a buffer for the next write, on whatever connection that is.
func (g *coalescer) putBack(p *[]byte) {
	if cap(*p) <= 2*coalescerLimit {
		*p = (*p)[:0]
		g.spares.Put(p)
	}
}

// close writes what is pending, unless the peer does not take what came before it. The caller
// bounds how long that may last.
func (g *coalescer) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pending != nil && !g.writing {
		g.send()
	}
	g.fail()
}
