package tailnet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"tailscale.com/ipn/ipnstate"
)

// askCommand reads the facts from the tailscale command.
func askCommand(ctx context.Context, socket string) (Status, error) {
	out, err := runStatusCommand(ctx, socket)
	if err != nil {
		return Status{}, err
	}
	var facts *ipnstate.Status
	if err := json.Unmarshal(out, &facts); err != nil {
		return Status{}, fmt.Errorf("reading its output: %w", err)
	}
	return statusFrom(facts, SourceCLI)
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

// runStatusCommand returns what `tailscale status --json --peers=false`
// prints, the command being the first of its name in PATH. It gets nothing of
// our environment but PATH, no input, and a process group that is killed as a
// whole when ctx ends or it prints too much. An empty socket leaves the choice to the command.
// It exits 0 in every backend state, Stopped included.
func runStatusCommand(ctx context.Context, socket string) ([]byte, error) {
	path, err := exec.LookPath("tailscale")
	if err != nil {
		return nil, err
	}
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	var args []string
	if socket != "" {
		args = append(args, "--socket="+socket)
	}
	args = append(args, "status", "--json", "--peers=false")
	out := &cappedBuffer{max: maxAnswer, full: kill}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.Stdout = out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond // for one who left the group with our pipe
	if err := cmd.Run(); err != nil {
		return nil, cmp.Or(context.Cause(ctx), err) // rather than "signal: killed"
	}
	return out.kept.Bytes(), nil
}

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
