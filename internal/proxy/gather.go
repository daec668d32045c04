package proxy

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// gatherLimit is how many bytes may wait to be written before a write waits for them.
const gatherLimit = 16 << 10

// gather writes to a connection what comes within one turn of the scheduler in one
// call to the kernel, which costs more than all else that is done with a small piece:
// the header of a request and its body, which net/http flushes one by one; and over
// HTTP/2 what the streams that are ready have to say. No clock is in it: a piece waits
// for those who could add to it, and for nobody when there are none.
//
// A write that returned may thus fail later. Who writes next is told; who waits for
// the answer sees it in reading, as the connection is broken.
type gather struct {
	conn   net.Conn
	spares *sync.Pool // of *[]byte, for pending

	taken   atomic.Int64 // bytes written, less those known to have never reached the kernel
	written atomic.Int64 // bytes that reached the kernel, or are on their way there

	mu      sync.Mutex
	change  sync.Cond // pending became shorter, or err was set
	pending *[]byte   // nil: nothing
	running bool      // flush is to take what is pending
	writing bool      // a write is under way
	err     error     // of the write that failed, or net.ErrClosed
}

func newGather(c net.Conn, spares *sync.Pool) *gather {
	g := &gather{conn: c, spares: spares}
	g.change.L = &g.mu
	return g
}

// write takes p over.
func (g *gather) write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.err == nil && g.pending != nil && len(*g.pending) >= gatherLimit {
		g.change.Wait()
	}
	if g.err != nil {
		return 0, g.err
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
	return len(p), nil
}

// flush writes until nothing is pending, when all who are ready to write have had
// their turn.
func (g *gather) flush() {
	runtime.Gosched()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.pending != nil && !g.writing {
		g.send()
	}
	g.running = false
}

// send writes what is pending. The caller holds mu, which is free meanwhile.
func (g *gather) send() {
	out := g.pending
	g.pending, g.writing = nil, true
	g.written.Add(int64(len(*out)))
	g.mu.Unlock()
	n, err := g.conn.Write(*out)
	g.mu.Lock()
	g.writing = false
	unsent := int64(len(*out) - n)
	g.written.Add(-unsent)
	g.taken.Add(-unsent)
	g.putBack(out)
	if err != nil {
		g.fail(err)
	}
	g.change.Broadcast()
}

// fail drops what is pending. The caller holds mu.
func (g *gather) fail(err error) {
	g.err = err
	if g.pending != nil {
		g.taken.Add(-int64(len(*g.pending)))
		g.putBack(g.pending)
		g.pending = nil
	}
	g.change.Broadcast()
}

func (g *gather) spare() *[]byte {
	if p, ok := g.spares.Get().(*[]byte); ok {
		return p
	}
	return &[]byte{}
}

// putBack keeps a buffer for the next who writes, whatever connection that is on.
func (g *gather) putBack(p *[]byte) {
	if cap(*p) <= 2*gatherLimit {
		*p = (*p)[:0]
		g.spares.Put(p)
	}
}

// close writes what is pending, unless the peer does not take what came before it.
func (g *gather) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pending != nil && !g.writing {
		_ = g.conn.SetWriteDeadline(time.Now().Add(partingTime)) // a connection without deadlines is closed next
		g.send()
	}
	if g.err == nil {
		g.fail(net.ErrClosed)
	}
}
