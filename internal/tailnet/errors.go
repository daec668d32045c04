package tailnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"tailscale.com/ipn"

	"oauth-proxyd/internal/term"
)

// Error says why this host is not connected to its tailnet, or why that is unknown. Its text tells
// the operator the problem, the reason and the fix.
type Error struct {
	// Retry says that the next attempt may succeed without a fix.
	Retry bool
	// NeedsPerson says that a person must log this node in or approve it.
	NeedsPerson bool
	// Problem says what is wrong, such as "tailscaled is in state Stopped".
	Problem string
	// Err is the reason in detail; it may be nil.
	Err error
	// Fix says what to do.
	Fix string
	// AuthURL is the login URL, if tailscaled returned one. It is never part of the text.
	AuthURL string
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Problem + "; " + e.Fix
	}
	return fmt.Sprintf("%s: %v; %s", e.Problem, e.Err, e.Fix)
}

func (e *Error) Unwrap() error { return e.Err }

// verdict returns nil for a backend in state Running, and otherwise an *Error that says what keeps
// this node off its tailnet. An unknown state is retried.
func verdict(s Status) error {
	e := &Error{Problem: "tailscaled is in state " + s.Backend, AuthURL: s.AuthURL}
	switch s.Backend {
	case ipn.Running.String():
		return nil
	case ipn.NeedsLogin.String():
		e.NeedsPerson, e.Fix = true, "run `tailscale login` on this host"
		if s.KeyExpired && !s.KeyExpiry.IsZero() { // a plain login would register a new node
			e.Err = fmt.Errorf("the node key expired on %s", s.KeyExpiry.Format(time.DateOnly))
			e.Fix = "run `tailscale up --force-reauth` on this host"
		}
	case ipn.NeedsMachineAuth.String():
		e.NeedsPerson, e.Fix = true, "approve this node in the admin console (https://login.tailscale.com/admin/machines)"
	case ipn.Stopped.String():
		e.Fix = "run `tailscale up` on this host"
	case ipn.Starting.String(), ipn.NoState.String():
		e.Retry, e.Err = true, errors.New("it has not come up yet")
	default:
		e.Retry, e.Err = true, errors.New("unknown state")
	}
	if e.Retry {
		e.Fix = "if this lasts, see `tailscale status` and `journalctl -u tailscaled`"
	}
	return e
}

// unknown returns the Error for a tailscaled whose state could not be read. Without a socket file
// it is not running, and only starting it helps.
func unknown(err error) *Error {
	e := &Error{Retry: true, Problem: "cannot read the state of tailscaled", Err: err}
	switch cause := cmp.Or(dialFailure(err), err); {
	case errors.Is(cause, fs.ErrNotExist) && !isInstalled():
		e.Retry, e.Problem = false, "tailscaled is not running, and Tailscale is not installed"
		e.Fix = "install it (https://tailscale.com/download/linux) and run `systemctl start tailscaled`, or set `tailscale { required = false }` to serve this host only"
	case errors.Is(cause, fs.ErrNotExist):
		e.Retry, e.Problem, e.Fix = false, "tailscaled is not running", "run `systemctl start tailscaled`"
	case errors.Is(cause, syscall.ECONNREFUSED):
		e.Fix = "run `systemctl start tailscaled`"
	case errors.Is(cause, fs.ErrPermission):
		e.Fix = "let this user open the socket, which tailscaled creates with mode 0666, or look for a sandbox that hides it"
	case errors.Is(cause, context.DeadlineExceeded), errors.Is(cause, syscall.EAGAIN): // EAGAIN: its backlog is full
		e.Fix = "if this lasts, run `systemctl restart tailscaled`"
	default:
		e.Fix = "if this lasts, see `journalctl -u tailscaled`"
	}
	return e
}

// foreignError is an error whose text comes from tailscaled or the tailscale command, and may name
// people, nodes and addresses. The text becomes one short, printable line without tokens.
type foreignError struct{ err error }

func (e *foreignError) Error() string { return term.Cut(term.Mask(term.Clean(e.err.Error())), 200) }

func (e *foreignError) Unwrap() error { return e.err }

// OwnWords returns the text of err without the parts that come from tailscaled or its command.
func OwnWords(err error) string {
	text := err.Error()
	if foreign, ok := errors.AsType[*foreignError](err); ok {
		return strings.ReplaceAll(text, foreign.Error(), "(withheld by log.identity)")
	}
	return text
}
