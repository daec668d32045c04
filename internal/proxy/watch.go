package proxy

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/config"
)

// Why a request is given up in the middle; the cause of its context.
var (
	errClientGone     = errors.New("client went away")
	errClientSlow     = errors.New("client stopped sending its request")
	errClientStuck    = errors.New("client stopped reading the answer")
	errUpstreamStuck  = errors.New("upstream stopped reading the request")
	errHeaderTimeout  = errors.New("upstream did not begin its answer in time")
	errUpstreamSilent = errors.New("upstream went silent in the middle of its answer")
	errFinished       = errors.New("request finished")
)

// waitingFor says whose move it is.
type waitingFor int32

const (
	forConnection     waitingFor = iota // nobody: making a connection has a limit of its own
	forClientBody                       // the client, to send more of the request
	forUpstreamAccept                   // the upstream, to take more of the request
	forHeader                           // the upstream, to begin its answer
	forUpstreamBody                     // the upstream, to send more of the answer
	forClientAccept                     // the client, to take more of the answer
)

// watch gives a request up when whose move it is makes none for too long. One
// timer serves the whole request: it looks at the clock when it fires, so that a
// byte costs two atomic stores and no timer.
type watch struct {
	timeouts config.Proxy
	giveUp   func(error)          // of a request whose turn it is too long; once
	report   func()               // of a request that lasts
	backlog  func(waitingFor) int // what the kernel holds for whose move it is; nil or below 0: not known
	start    time.Time            // of the request
	reportAt time.Duration
	waiting  atomic.Int32
	moved    atomic.Int64 // nanoseconds since start
	answered atomic.Bool  // the answer has begun: the request body no longer tells whose move it is

	mu      sync.Mutex // held while the timer's look lasts
	timer   *time.Timer
	stopped bool
	left    int   // the backlog at the last look
	leftAt  int64 // and what moved was after it
}

// firstReport is when a request that lasts is first reported; then each time that it
// has lasted twice as long.
const firstReport = time.Minute

// begin starts the clock, with no move to wait for yet.
func (w *watch) begin(timeouts config.Proxy) {
	w.timeouts = timeouts
	w.next(forConnection)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reportAt = max(firstReport, 2*time.Since(w.start))
	w.timer = time.AfterFunc(min(w.pace(), firstReport), w.look)
}

// silence is how long nobody has made a move.
func (w *watch) silence() time.Duration {
	return time.Since(w.start) - time.Duration(w.moved.Load())
}

// sending notes a move in the sending of the request.
func (w *watch) sending(next waitingFor) {
	if w.answered.Load() {
		w.moved.Store(int64(time.Since(w.start)))
		return
	}
	w.next(next)
}

// next notes a move and whose the next one is.
func (w *watch) next(next waitingFor) {
	w.moved.Store(int64(time.Since(w.start)))
	w.waiting.Store(int32(next))
}

// answer notes that the answer has begun.
func (w *watch) answer() {
	w.answered.Store(true)
	w.next(forUpstreamBody)
}

// stop ends the clock. giveUp is not called after it, nor still under way: the
// client's connection may be about to carry another request.
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
	w.noteDrain(waiting)
	limit := w.timeouts.IdleTimeout
	if waiting == forHeader {
		limit = w.timeouts.ResponseHeaderTimeout
	}
	quiet := w.silence()
	if waiting == forConnection {
		quiet = 0
	}
	if quiet >= limit {
		w.giveUp(waiting.tooLong())
		return
	}
	age := time.Since(w.start)
	if age >= w.reportAt {
		w.report()
		w.reportAt = 2 * age
	}
	w.timer.Reset(min(limit-quiet, w.pace(), w.reportAt-age))
}

// pace is the time between two looks: the phase may change to one with a shorter
// limit, and a backlog that shrinks must be seen to.
func (w *watch) pace() time.Duration {
	const looks = 4 // within a limit
	return min(w.timeouts.IdleTimeout, w.timeouts.ResponseHeaderTimeout) / looks
}

// noteDrain takes it for a move that the peer took some of what the kernel holds for
// it: that may be megabytes, and a blocked write returns only after a good part of
// them. What counts is the time since a first look at them. The caller holds mu.
func (w *watch) noteDrain(waiting waitingFor) {
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

func (f waitingFor) tooLong() error {
	switch f {
	case forClientBody:
		return errClientSlow
	case forUpstreamAccept:
		return errUpstreamStuck
	case forHeader:
		return errHeaderTimeout
	case forUpstreamBody:
		return errUpstreamSilent
	default:
		return errClientStuck
	}
}
