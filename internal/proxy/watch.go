package proxy

import (
	"sync"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/kernel"
)

// waitingFor says which side must act next.
type waitingFor int32

const (
	forConnection     waitingFor = iota // none: connecting has its own limit
	forClientBody                       // the client, to send more of the request
	forUpstreamAccept                   // the upstream, to take more of the request
	forHeader                           // the upstream, to begin its response
	forUpstreamBody                     // the upstream, to send more of the response
	forClientAccept                     // the client, to take more of the response
)

// side returns who must act next: WaitsForClient, WaitsForUpstream, or "" if none must.
func (w waitingFor) side() string {
	switch w {
	case forClientBody, forClientAccept:
		return WaitsForClient
	case forUpstreamAccept, forHeader, forUpstreamBody:
		return WaitsForUpstream
	default:
		return ""
	}
}

// The values of [Trace.WaitsFor].
const (
	WaitsForClient   = "client"
	WaitsForUpstream = "upstream"
)

// watch cancels a request when the side it is waiting for is idle for too long, or when its client
// left and net/http does not notice. One timer serves the whole request: it looks at the clock when
// it fires, so that a byte costs some atomic stores and no timer.
type watch struct {
	x       *exchange
	waiting atomic.Int32
	moved   atomic.Int64 // when a side last acted, in nanoseconds since start
	sentAt  atomic.Int64 // when the whole request was sent, likewise; 0: not yet

	mu        sync.Mutex // held during look
	timer     *time.Timer
	stopped   bool
	backlog   int   // bytes that the side that must act had not taken at the last look
	backlogAt int64 // moved after the last look
}

// begin starts the timer, without a side that must act yet.
func (w *watch) begin() {
	w.next(forConnection)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.pace(), w.look)
}

// elapsed returns the nanoseconds since the start of the request.
func (w *watch) elapsed() int64 { return int64(time.Since(w.x.rec.Started)) }

func (w *watch) silence() time.Duration {
	return time.Duration(w.elapsed() - w.moved.Load())
}

// sending records progress of the request, and which side must act next. Once the response has
// begun, that depends on the response instead. After a cancellation, what the library still reads
// is no progress.
func (w *watch) sending(next waitingFor) {
	if w.x.ctx.Err() != nil {
		return
	}
	if waitingFor(w.waiting.Load()) >= forUpstreamBody {
		w.moved.Store(w.elapsed())
		return
	}
	w.next(next)
}

// next records progress and which side must act next.
func (w *watch) next(next waitingFor) {
	now := w.elapsed()
	w.moved.Store(now)
	w.waiting.Store(int32(next))
	switch {
	case next == forHeader:
		w.sentAt.Store(now)
	case next < forHeader:
		w.sentAt.Store(0)
	}
}

// writing records that the client must act next. It does not look at the clock, which would take
// 2 % of the processor time of an event. If the client does not take all at once, its time counts
// from the next look (see countBacklog); until then, silence includes the upstream's.
func (w *watch) writing() { w.waiting.Store(int32(forClientAccept)) }

// stop stops the timer. When it returns, look does not run and will not be called, because the
// client's connection may carry another request soon.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// look runs when the timer fires. It ends the request, or sets the timer again.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	if w.x.unread() && kernel.HungUp(w.x.conn.Conn) {
		w.x.giveUp(errClientGone)
		return
	}
	waiting := waitingFor(w.waiting.Load())
	w.countBacklog(waiting)
	limit := w.x.cfg.Proxy.IdleTimeout
	if waiting == forHeader {
		limit = w.x.cfg.Proxy.ResponseHeaderTimeout
	}
	quiet := w.silence()
	switch up := w.x.upstream.Load(); {
	case waiting == forConnection:
		quiet = 0
	case waiting == forUpstreamBody && up != nil:
		quiet = min(quiet, up.Silence()) // net/http holds back a part of a chunk, so a slow chunk looks silent
	}
	if quiet >= limit {
		w.x.giveUp(w.x.idleFailure(waiting))
		return
	}
	w.timer.Reset(min(limit-quiet, w.pace()))
}

// pace returns the longest time between two looks: a quarter of the shorter timeout, because which
// timeout applies can change between looks, and countBacklog must see a backlog shrink. It is at
// most 1 s while only a look notices a client that left.
func (w *watch) pace() time.Duration {
	pace := min(w.x.cfg.Proxy.IdleTimeout, w.x.cfg.Proxy.ResponseHeaderTimeout) / 4
	if w.x.unread() {
		pace = min(pace, time.Second)
	}
	return pace
}

// countBacklog counts a shrinking send buffer as progress. The kernel may hold megabytes, and a
// blocked write returns only after much of that was taken. The time counts from the first look at
// the buffer. The caller holds mu.
func (w *watch) countBacklog(waiting waitingFor) {
	var backlog int // -1: not known
	switch up := w.x.upstream.Load(); {
	case waiting == forClientAccept:
		backlog = kernel.Unsent(w.x.conn.Conn)
	case waiting == forUpstreamAccept && up != nil && !up.HTTP2():
		backlog = up.Unsent()
	default:
		return
	}
	if moved := w.moved.Load(); moved != w.backlogAt || backlog < w.backlog {
		w.backlogAt = w.elapsed()
		w.moved.CompareAndSwap(moved, w.backlogAt)
	}
	w.backlog = backlog
}

func (x *exchange) idleFailure(w waitingFor) error {
	idle := x.cfg.Proxy.IdleTimeout
	switch w {
	case forClientBody:
		return fail(CodeClientIdleTimeout, nil, "no byte of the request body came for %v", idle)
	case forUpstreamAccept:
		return fail(CodeUpstreamHeaderTimeout, nil, "the upstream accepted no byte of the request for %v; it may have processed part of it", idle)
	case forHeader:
		return fail(CodeUpstreamHeaderTimeout, nil, "the upstream did not begin its response within %v; it may have processed the request", x.cfg.Proxy.ResponseHeaderTimeout)
	case forClientAccept:
		return errClientStalled
	default: // forUpstreamBody
		return fail(CodeUpstreamIdleTimeout, nil, "the upstream sent nothing for %v in the middle of its response", idle)
	}
}
