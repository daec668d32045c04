package tailnet

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"tailscale.com/client/local"
	"tailscale.com/paths"
)

// Config says where tailscaled is and how often to ask it. The zero value suits an ordinary host.
type Config struct {
	// Socket is the path of tailscaled's Unix socket. Default: Tailscale's own for this system.
	Socket string

	// AttemptTimeout bounds each call but Follow, and each attempt of Follow. Default 5 s.
	AttemptTimeout time.Duration

	// BackoffMin and BackoffMax bound Follow's pause after it could not watch the bus. The pause
	// doubles from one to the other, less a random part of up to a quarter. BackoffMin is also the
	// time between two dials while nobody listens on the socket. Defaults 1 s and 30 s.
	BackoffMin, BackoffMax time.Duration

	// RereadInterval is how long Follow watches one bus, and the longest pause while there is a
	// tailscaled. Default 10 s.
	RereadInterval time.Duration

	// SettleInterval is the shortest time between two readings, so that a burst of notifications
	// causes few. Default 100 ms.
	SettleInterval time.Duration

	// WarningDelay is how long a health warning must last before Follow reports it. Default 10 s.
	WarningDelay time.Duration
}

// Client asks one tailscaled. It is safe for concurrent use, keeps no connection open between
// calls, and needs no closing.
type Client struct {
	cfg      Config // with defaults, except for Socket
	socket   string
	local    *local.Client
	commands chan struct{}           // holds one for each running whois command
	process  atomic.Pointer[Process] // the last one that listened on socket

	processes *shared[Process]
	published *shared[[]Published]
}

// New returns a client for cfg, with defaults for zero fields. It does no I/O.
func New(cfg Config) *Client {
	cfg.AttemptTimeout = cmp.Or(cfg.AttemptTimeout, 5*time.Second)
	cfg.BackoffMin = cmp.Or(cfg.BackoffMin, time.Second)
	cfg.BackoffMax = cmp.Or(cfg.BackoffMax, 30*time.Second)
	cfg.RereadInterval = cmp.Or(cfg.RereadInterval, 10*time.Second)
	cfg.SettleInterval = cmp.Or(cfg.SettleInterval, 100*time.Millisecond)
	cfg.WarningDelay = cmp.Or(cfg.WarningDelay, 10*time.Second)
	socket := cmp.Or(cfg.Socket, paths.DefaultTailscaledSocket())
	c := &Client{
		cfg: cfg, socket: socket, local: newLocal(socket, cfg.AttemptTimeout),
		commands: make(chan struct{}, maxWhoIsCommands),
	}
	c.processes, c.published = newShared(c.findProcess), newShared(c.askPublished)
	return c
}

// Connect reads the status once, within AttemptTimeout. The error is nil if and only if the backend
// is in state Running, and an *Error otherwise. The status is returned with an error, too, if it
// could be read.
func (c *Client) Connect(ctx context.Context) (Status, error) {
	attempt, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	status, err := c.askSocket(attempt)
	if dialErr := dialFailure(err); dialErr != nil {
		if status, err = c.askCommand(attempt); err != nil {
			err = dialErr // it is the one to fix
		}
	} else if err != nil {
		err = c.explain(err)
	}
	switch {
	case err == nil:
		return status, verdict(status)
	case ctx.Err() != nil: // the caller gave up; the tailnet may be well
		err = ctx.Err()
	}
	return Status{}, unknown(err)
}

func (c *Client) askSocket(ctx context.Context) (Status, error) {
	facts, err := c.local.StatusWithoutPeers(ctx)
	if err != nil {
		return Status{}, err
	}
	status, err := statusFrom(facts)
	if p, processErr := c.Process(ctx); processErr == nil {
		status.PID = p.PID
	}
	return status, err
}

// shared lets callers that ask at the same time share one call: 500 connections that arrive at once
// cost a few calls instead of 500. A caller gets the result of a call that began after it asked,
// so the result is never older than the question.
type shared[T any] struct {
	call  func(context.Context) (T, error) // bounds its own time
	group singleflight.Group
	turn  chan struct{} // holds one while a call runs
}

func newShared[T any](call func(context.Context) (T, error)) *shared[T] {
	return &shared[T]{call: call, turn: make(chan struct{}, 1)}
}

func (s *shared[T]) get(ctx context.Context) (T, error) {
	const key = "" // there is only one question
	results := s.group.DoChan(key, func() (any, error) {
		s.turn <- struct{}{}
		defer func() { <-s.turn }()
		s.group.Forget(key) // a caller that comes from now on waits for the next call
		return s.call(context.WithoutCancel(ctx))
	})
	select {
	case r := <-results:
		return r.Val.(T), r.Err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
