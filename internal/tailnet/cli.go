package tailnet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/client/tailscale/apitype"
	"tailscale.com/ipn/ipnstate"
)

// askCommand reads the facts from the tailscale command.
func askCommand(ctx context.Context, socket string) (Status, error) {
	out, err := runCommand(ctx, socket, "status", "--json", "--peers=false")
	if err != nil {
		return Status{}, err
	}
	var facts *ipnstate.Status
	if err := json.Unmarshal(out, &facts); err != nil {
		return Status{}, fmt.Errorf("reading its output: %w", err)
	}
	status, err := statusFrom(facts, SourceCLI)
	if err == nil && status.Connected && len(status.Addresses) > 0 {
		err = tryWhoIsCommand(ctx, socket, status.Addresses[0])
	}
	return status, err
}

// tryWhoIsCommand asks the command for this node itself. A command that cannot say who a
// peer is leaves nobody of the tailnet to be served.
func tryWhoIsCommand(ctx context.Context, socket string, self netip.Addr) error {
	if _, err := runCommand(ctx, socket, "whois", "--json", self.String()); err != nil {
		return fmt.Errorf("peers cannot be identified: `tailscale whois`: %w", err)
	}
	return nil
}

// maxWhoIsCommands is how many run at a time: each is a process, and strangers can make
// us ask.
const maxWhoIsCommands = 4

// whoIsByCommand names the peer behind addr.
func (c *Client) whoIsByCommand(ctx context.Context, addr netip.AddrPort) (*apitype.WhoIsResponse, error) {
	select {
	case c.commands <- struct{}{}:
		defer func() { <-c.commands }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to run `tailscale whois`: %w", ctx.Err())
	}
	out, err := runCommand(ctx, c.cfg.Socket, "whois", "--json", "--proto=tcp", addr.String())
	if failed, ok := errors.AsType[*commandError](err); ok && failed.saysNotFound() {
		return nil, local.ErrPeerNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("`tailscale whois`: %w", &cutError{err})
	}
	var answer *apitype.WhoIsResponse
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("reading the output of `tailscale whois`: %w", &cutError{err})
	}
	return answer, nil
}

// commandError is a command that failed, with the end of what it printed as an error.
type commandError struct {
	err     error
	printed string
}

func (e *commandError) Error() string { return e.err.Error() }
func (e *commandError) Unwrap() error { return e.err }

// saysNotFound: the texts of the local API and of its client. There is no exit code for it.
func (e *commandError) saysNotFound() bool {
	return strings.Contains(e.printed, "peer not found") || strings.Contains(e.printed, "no match for IP")
}

// patientCommand is askCommand for one who asks all the time. What the command said
// is repeated for the interval, and that it failed for a pause that grows.
type patientCommand struct {
	interval time.Duration
	pause    func(failures int) time.Duration

	failures int       // in a row
	until    time.Time // when it may run again
	status   Status
	err      error
}

func (p *patientCommand) ask(ctx context.Context, socket string) (Status, error) {
	if time.Now().Before(p.until) {
		return p.status, p.err
	}
	p.status, p.err = askCommand(ctx, socket)
	if p.err != nil {
		p.failures++
		p.until = time.Now().Add(p.pause(p.failures))
		return p.status, p.err
	}
	p.failures = 0
	p.until = time.Now().Add(p.interval)
	return p.status, nil
}

// forget lets it run at the next need.
func (p *patientCommand) forget() { p.failures, p.until = 0, time.Time{} }

// runCommand returns what `tailscale` prints with args, the command being the first of its
// name in PATH. It gets nothing of our environment but PATH, no input, and a process group
// that is killed as a whole when ctx ends or it prints too much. An empty socket leaves the
// choice to the command. (`tailscale status` exits 0 in every backend state, Stopped
// included.)
func runCommand(ctx context.Context, socket string, args ...string) ([]byte, error) {
	path, err := exec.LookPath("tailscale")
	if err != nil {
		return nil, err
	}
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	if socket != "" {
		args = append([]string{"--socket=" + socket}, args...)
	}
	out := &cappedBuffer{max: maxAnswer, full: kill}
	errs := &cappedBuffer{max: maxErrorText, full: func(error) {}}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond // for one who left the group with our pipe
	if err := cmd.Run(); err != nil {
		return nil, &commandError{cmp.Or(context.Cause(ctx), err), errs.kept.String()} // rather than "signal: killed"
	}
	return out.kept.Bytes(), nil
}

// maxErrorText is what is kept of a command's standard error.
const maxErrorText = 4 << 10

// commandReason adds to the failed dial, which remains what has to be mended,
// why the command was no help; but not that there is no such command.
func commandReason(dialErr, err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, exec.ErrDot) {
		return dialErr
	}
	return fmt.Errorf("%w (and `tailscale status`: %w)", dialErr, &cutError{err})
}

// cappedBuffer keeps max bytes and calls full at more. It does not embed the
// bytes.Buffer, whose ReadFrom would let io.Copy go round the cap.
type cappedBuffer struct {
	kept bytes.Buffer
	max  int
	full func(error)
}

// Write is io.Writer's.
func (b *cappedBuffer) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) > b.max {
		err := fmt.Errorf("output longer than %d bytes", b.max)
		b.full(err)
		return 0, err
	}
	return b.kept.Write(p)
}
