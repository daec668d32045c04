package tailnet

import (
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

// Kind sorts the reasons for not being connected by what can be done.
type Kind int

// The kinds of Error.
const (
	// Retryable may be over at the next attempt.
	Retryable Kind = iota
	// NeedsLogin waits for somebody to log this node in, for the first time
	// or because its key expired.
	NeedsLogin
	// NeedsMachineAuth waits for an admin's approval of this node.
	NeedsMachineAuth
	// Stopped was switched off with `tailscale down`.
	Stopped
	// DaemonAbsent means that no tailscaled runs on this host.
	DaemonAbsent
)

// Error says why this host is not connected to its tailnet, or why that
// cannot be known.
type Error struct {
	// Kind is what can be done about it.
	Kind Kind

	// Backend is the backend's state, empty when it could not be learnt.
	Backend string

	// AuthURL is where somebody may log this node in, if tailscaled gave
	// one. It is never part of the text.
	AuthURL string

	// Err is the reason in detail; it may be nil.
	Err error
}

// Error is a sentence for the operator: the state, the reason, and what mends
// it.
func (e *Error) Error() string {
	var text strings.Builder
	switch {
	case e.Backend != "":
		fmt.Fprintf(&text, "tailscaled is in state %s", e.Backend)
	case e.Kind == DaemonAbsent:
		text.WriteString("tailscaled is not running")
	default:
		text.WriteString("tailscaled cannot be asked")
	}
	if e.Err != nil {
		fmt.Fprintf(&text, ": %v", e.Err)
	}
	return text.String() + "; " + e.Remedy()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Remedy is the end of the sentence: what somebody has to do.
func (e *Error) Remedy() string {
	switch e.Kind {
	case NeedsLogin:
		if e.Err != nil { // an expired key: a plain login would make another node of this host
			return "run `tailscale up --force-reauth` on this host"
		}
		return "run `tailscale login` on this host"
	case NeedsMachineAuth:
		return "approve this node in the admin console (https://login.tailscale.com/admin/machines)"
	case Stopped:
		return "run `tailscale up` on this host"
	case DaemonAbsent:
		return "run `systemctl start tailscaled`"
	default:
		return e.retryRemedy()
	}
}

// retryRemedy is for what may well pass without anybody's doing.
func (e *Error) retryRemedy() string {
	switch {
	case e.Backend != "":
		return "if it stays so, see `tailscale status` and `journalctl -u tailscaled`"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return "run `systemctl start tailscaled`"
	case errors.Is(e.Err, fs.ErrPermission):
		return "let this user open the socket, which tailscaled makes with mode 0666, and look for a sandbox that hides it"
	case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, syscall.EAGAIN): // EAGAIN: its backlog is full
		return "if it stays so, run `systemctl restart tailscaled`"
	default:
		return "if it stays so, see `journalctl -u tailscaled`"
	}
}

// verdict is nil for a Running backend, and else the *Error that says what
// keeps this node off its tailnet.
func verdict(s Status) error {
	e := &Error{Backend: s.Backend, AuthURL: s.AuthURL}
	switch s.Backend {
	case ipn.Running.String():
		return nil
	case ipn.NeedsLogin.String():
		e.Kind = NeedsLogin
		if s.KeyExpired && !s.KeyExpiry.IsZero() {
			e.Err = fmt.Errorf("the node key expired on %s", s.KeyExpiry.Format(time.DateOnly))
		}
	case ipn.NeedsMachineAuth.String():
		e.Kind = NeedsMachineAuth
	case ipn.Stopped.String():
		e.Kind = Stopped
	case ipn.Starting.String(), ipn.NoState.String():
		e.Err = errors.New("it has not come up yet")
	default:
		e.Err = errors.New("nothing is known of that state")
	}
	return e
}

// cutError is an error whose text is partly tailscaled's or its command's: it is shown on one line,
// printable, and of bounded length.
type cutError struct{ err error }

func (e *cutError) Error() string { return term.Cut(term.Clean(e.err.Error()), 200) }

func (e *cutError) Unwrap() error { return e.err }

// OwnWords is the text of err without the words of tailscaled and of its command, which may
// name people, nodes and addresses.
func OwnWords(err error) string {
	text := err.Error()
	for _, foreign := range foreignTexts(err) {
		text = strings.ReplaceAll(text, foreign, "(withheld by log.identity)")
	}
	return text
}

// foreignTexts are the texts of the errors in err in which others had a hand.
func foreignTexts(err error) (texts []string) {
	switch e := err.(type) { //nolint:errorlint // each error of the tree is looked at
	case *cutError:
		if text := e.Error(); text != "" {
			texts = append(texts, text)
		}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			texts = append(texts, foreignTexts(one)...)
		}
	case interface{ Unwrap() error }:
		texts = foreignTexts(e.Unwrap())
	}
	return texts
}
