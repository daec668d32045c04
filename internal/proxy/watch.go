package proxy

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/config"
)

var (
	errClientGone = errors.New("client went away")
	errFinished   = errors.New("request finished")
)

// waitingFor says which side is to act next.
type waitingFor int32

const (
	forConnection     waitingFor = iota // none: making a connection has a limit of its own
	forClientBody                       // the client, to send more of the request
	forUpstreamAccept                   // the upstream, to take more of the request
	forHeader                           // the upstream, to begin its response
	forUpstreamBody                     // the upstream, to send more of the response
	forClientAccept                     // the client, to take more of the response
)

// watch cancels a request when the side it is waiting for is idle for too long. One timer serves
// the whole request: it looks at the clock when it fires, so that a byte costs two atomic stores
// and no timer.
type watch struct {
	timeouts  config.Proxy
	giveUp    func(waitingFor)     // is called once, when a side is idle for too long
	backlog   func(waitingFor) int // what the kernel holds for a side; nil or below 0: not known
	start     time.Time            // of the request
	waiting   atomic.Int32
	moved     atomic.Int64 // nanoseconds since start
	sent      atomic.Int64 // likewise: since when the upstream has the whole request; 0: it has not
	responded atomic.Bool  // the response has begun: the request body no longer tells which side is to act

	mu      sync.Mutex // held while the timer's look lasts
	timer   *time.Timer
	stopped bool
	left    int   // the backlog at the last look
	leftAt  int64 // and what moved was after it
}

// begin starts the clock, with no side to wait for yet.
func (w *watch) begin(timeouts config.Proxy) {
	w.timeouts = timeouts
	w.next(forConnection)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.pace(), w.look)
}

// silence is how long neither side has acted.
func (w *watch) silence() time.Duration {
	return time.Since(w.start) - time.Duration(w.moved.Load())
}

// sending records progress in the sending of the request.
func (w *watch) sending(next waitingFor) {
	if w.responded.Load() {
		w.moved.Store(int64(time.Since(w.start)))
		return
	}
	w.next(next)
}

// next records progress and which side is to act next.
func (w *watch) next(next waitingFor) {
	now := int64(time.Since(w.start))
	w.moved.Store(now)
	w.waiting.Store(int32(next))
	switch {
	case next == forHeader:
		w.sent.Store(now)
	case next < forHeader:
		w.sent.Store(0)
	}
}

// respond records that the response has begun.
func (w *watch) respond() {
	w.responded.Store(true)
	w.next(forUpstreamBody)
}

// stop ends the clock. giveUp is not called after it, nor still under way: the client's connection
// may be about to carry another request.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// look is the timer's: give up, or come back when it may be time.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	waiting := waitingFor(w.waiting.Load())
	w.countDrain(waiting)
	limit := w.timeouts.IdleTimeout
	if waiting == forHeader {
		limit = w.timeouts.ResponseHeaderTimeout
	}
	quiet := w.silence()
	if waiting == forConnection {
		quiet = 0
	}
	if quiet >= limit {
		w.giveUp(waiting)
		return
	}
	w.timer.Reset(min(limit-quiet, w.pace()))
}

// pace is the time between two looks: the phase may change to one with a shorter limit, and a
// backlog that shrinks must be seen to.
func (w *watch) pace() time.Duration {
	const looks = 4 // within a limit
	return min(w.timeouts.IdleTimeout, w.timeouts.ResponseHeaderTimeout) / looks
}

// countDrain counts a shrinking send buffer as progress: the kernel may hold megabytes, and a
// blocked write returns only after a good part of them was taken. What counts is the time since the
// first look at them. The caller holds mu.
func (w *watch) countDrain(waiting waitingFor) {
	if w.backlog == nil {
		return
	}
	left := w.backlog(waiting)
	if left < 0 {
		return
	}
	if moved := w.moved.Load(); moved != w.leftAt || left < w.left {
		w.leftAt = int64(time.Since(w.start))
		w.moved.CompareAndSwap(moved, w.leftAt)
	}
	w.left = left
}
