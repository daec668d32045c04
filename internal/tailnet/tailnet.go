package tailnet

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/paths"
)

// Config says where tailscaled is and how patiently it is asked. The zero
// value is what a daemon on an ordinary host wants.
type Config struct {
	// Socket is the path of tailscaled's Unix socket. Empty means
	// Tailscale's own default for this system.
	Socket string

	// AttemptTimeout bounds one attempt to learn the status, the command's
	// run included, and one WhoIs. Default 5 s.
	AttemptTimeout time.Duration

	// BackoffMin and BackoffMax bound the pause of Follow after an attempt
	// that failed and cost something: a process started, a bad answer, a bus
	// that ended. It doubles from the one to the other, less a random part of
	// up to a quarter. A dial that fails costs nothing, so after one, and
	// after a timeout, which was pause enough, it is always BackoffMin.
	// Defaults 1 s and 30 s.
	BackoffMin, BackoffMax time.Duration

	// PollInterval is the pause between two readings of Follow while
	// tailscaled gives it no bus. Default 1 s.
	PollInterval time.Duration

	// CommandInterval is how long Follow repeats what the tailscale command
	// said, where that has to answer for the socket. Default 5 s.
	CommandInterval time.Duration

	// RereadInterval is the longest Follow trusts a status while the bus is
	// silent, as it is when tailscaled hangs. Default 10 s.
	RereadInterval time.Duration

	// SettleInterval is the shortest time between two readings that the bus
	// asks for, so that a burst of notifications costs few. Default 100 ms.
	SettleInterval time.Duration

	// WarningDelay is how long a health warning must last before Follow
	// reports it. Default 10 s.
	WarningDelay time.Duration
}

// Client asks one tailscaled. Make it with New; its methods may be called
// from several goroutines at once. It keeps no connection open between calls
// and needs no closing.
type Client struct {
	cfg       Config // without zeros, but for Socket, which is as it was given
	socket    string
	local     *local.Client
	commands  chan struct{}           // holds one for each command for WhoIs that runs
	process   atomic.Pointer[Process] // the last one that listened on socket
	suspended func() time.Duration
}

// New returns a client for cfg, with defaults for what is zero. It does no
// I/O on the socket, so it succeeds whether or not a tailscaled runs.
func New(cfg Config) *Client {
	cfg = withDefaults(cfg)
	socket := cmp.Or(cfg.Socket, paths.DefaultTailscaledSocket())
	return &Client{
		cfg: cfg, socket: socket, local: newLocal(socket, cfg.AttemptTimeout),
		commands: make(chan struct{}, maxWhoIsCommands), suspended: suspended,
	}
}

func withDefaults(cfg Config) Config {
	cfg.AttemptTimeout = cmp.Or(cfg.AttemptTimeout, 5*time.Second)
	cfg.BackoffMin = cmp.Or(cfg.BackoffMin, time.Second)
	cfg.BackoffMax = cmp.Or(cfg.BackoffMax, 30*time.Second)
	cfg.PollInterval = cmp.Or(cfg.PollInterval, time.Second)
	cfg.CommandInterval = cmp.Or(cfg.CommandInterval, 5*time.Second)
	cfg.RereadInterval = cmp.Or(cfg.RereadInterval, 10*time.Second)
	cfg.SettleInterval = cmp.Or(cfg.SettleInterval, 100*time.Millisecond)
	cfg.WarningDelay = cmp.Or(cfg.WarningDelay, 10*time.Second)
	return cfg
}

// Connect makes one attempt, of AttemptTimeout at most, to learn the facts, and
// judges them: the error is nil if and only if the backend is Running, and an
// *Error otherwise. The facts are returned with either, as far as there are any.
func (c *Client) Connect(ctx context.Context) (Status, error) {
	return c.connect(ctx, askCommand)
}

// command is askCommand, or who says when that is not to be done again yet.
type command func(ctx context.Context, socket string) (Status, error)

func (c *Client) connect(ctx context.Context, ask command) (Status, error) {
	status, err := c.status(ctx, ask)
	if err != nil {
		return status, err
	}
	return status, verdict(status)
}

// status has an error if no facts could be had, whatever the backend's state is.
func (c *Client) status(ctx context.Context, ask command) (Status, error) {
	attempt, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	status, err := c.askSocket(attempt)
	if err == nil {
		return status, nil
	}
	failed := &Error{Err: c.explain(err)}
	if dialErr := dialFailure(err); dialErr != nil {
		if status, err = ask(attempt, c.cfg.Socket); err == nil {
			return status, nil
		}
		failed = &Error{Kind: dialKind(dialErr), Err: commandReason(dialErr, err)}
	}
	if ctx.Err() != nil { // the caller's end, which says nothing of the tailnet
		failed = &Error{Err: ctx.Err()}
	}
	return Status{}, failed
}

func (c *Client) askSocket(ctx context.Context) (Status, error) {
	facts, err := c.local.StatusWithoutPeers(ctx)
	if err != nil {
		return Status{}, err
	}
	status, err := statusFrom(facts, SourceSocket)
	if p, processErr := c.Process(ctx); processErr == nil {
		status.PID = p.PID
	}
	return status, err
}
