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

// watch cancels a request when the side it is waiting for is idle for too long, or when its client
// left and net/http does not notice. One timer serves the whole request: it looks at the clock when
// it fires, so that a byte costs two atomic stores and no timer.
type watch struct {
	timeouts  config.Proxy
	request   watched
	start     time.Time // of the request
	waiting   atomic.Int32
	moved     atomic.Int64 // when a side last acted, in nanoseconds since start
	sent      atomic.Int64 // when the whole request was sent, likewise; 0: not yet
	responded atomic.Bool  // the response has begun, so the request body no longer says which side must act

	mu        sync.Mutex // held during look
	timer     *time.Timer
	stopped   bool
	backlog   int   // of the side that must act, at the last look
	backlogAt int64 // moved after the last look
}

// watched is a request that is watched.
type watched interface {
	// giveUp ends the request because a side is idle, and abandon ends it because its client left.
	// One of them is called once.
	giveUp(waitingFor)
	abandon()
	// backlog returns how many bytes the kernel holds for a side; -1 if unknown.
	backlog(waitingFor) int
	// silence returns how long no byte has come from a side; endless if unknown.
	silence(waitingFor) time.Duration
	// clientLeft reports whether the client left, if net/http does not notice that.
	clientLeft() (left, unnoticed bool)
}

// begin starts the timer, without a side that must act yet.
func (w *watch) begin(timeouts config.Proxy, request watched) {
	w.timeouts, w.request = timeouts, request
	w.next(forConnection)
	w.mu.Lock()
	defer w.mu.Unlock()
	_, unnoticed := request.clientLeft()
	w.timer = time.AfterFunc(w.pace(unnoticed), w.look)
}

// silence returns how long no side has acted.
func (w *watch) silence() time.Duration {
	return time.Since(w.start) - time.Duration(w.moved.Load())
}

// sending records progress of the request, and which side must act next.
func (w *watch) sending(next waitingFor) {
	if w.responded.Load() {
		w.moved.Store(int64(time.Since(w.start)))
		return
	}
	w.next(next)
}

// next records progress and which side must act next.
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

// stop stops the timer. When it returns, giveUp does not run and will not be called, because the
// client's connection may carry another request soon.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// look runs when the timer fires. It calls giveUp, or sets the timer again.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	left, unnoticed := w.request.clientLeft()
	if left {
		w.request.abandon()
		return
	}
	waiting := waitingFor(w.waiting.Load())
	w.countDrain(waiting)
	limit := w.timeouts.IdleTimeout
	if waiting == forHeader {
		limit = w.timeouts.ResponseHeaderTimeout
	}
	quiet := min(w.silence(), w.request.silence(waiting))
	if waiting == forConnection {
		quiet = 0
	}
	if quiet >= limit {
		w.request.giveUp(waiting)
		return
	}
	w.timer.Reset(min(limit-quiet, w.pace(unnoticed)))
}

// pace returns the longest time between two looks: a quarter of the shorter timeout, because which
// timeout applies can change between looks, and countDrain must see a backlog shrink. It is at most
// 1 s while only a look notices a client that left.
func (w *watch) pace(unnoticed bool) time.Duration {
	pace := min(w.timeouts.IdleTimeout, w.timeouts.ResponseHeaderTimeout) / 4
	if unnoticed {
		pace = min(pace, time.Second)
	}
	return pace
}

// countDrain counts a shrinking send buffer as progress. The kernel may hold megabytes, and a
// blocked write returns only after much of that was taken. The time counts from the first look at
// the buffer. The caller holds mu.
func (w *watch) countDrain(waiting waitingFor) {
	backlog := w.request.backlog(waiting)
	if backlog < 0 {
		return
	}
	if moved := w.moved.Load(); moved != w.backlogAt || backlog < w.backlog {
		w.backlogAt = int64(time.Since(w.start))
		w.moved.CompareAndSwap(moved, w.backlogAt)
	}
	w.backlog = backlog
}
