package host

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// Output is what a command came to.
type Output struct {
	Stdout, Stderr string
	// Code is the exit code, -1 after a signal.
	Code int
}

// Command is a command inside the host, as root, with the host's environment and not ours.
// Cancelling the context kills it and what it started.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	inside := []string{
		"--target", strconv.Itoa(h.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
		name,
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(inside, args...)...)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "DEBIAN_FRONTEND=noninteractive",
	}
	// nsenter waits for a child of its own in the host's process namespace.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// Run runs a command inside the host to its end. If the command fails, see Output.Code.
func (h *Host) Run(ctx context.Context, name string, args ...string) (Output, error) {
	return run(h.Command(ctx, name, args...))
}

func run(cmd *exec.Cmd) (Output, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return Output{}, fmt.Errorf("entering the host: %w", err)
	}
	err := cmd.Wait()
	out := Output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	if err != nil && out.Code <= 0 {
		return out, fmt.Errorf("running %s: %w", strings.Join(cmd.Args, " "), err)
	}
	return out, nil
}

// ReadFile is the content of a file in the host.
func (h *Host) ReadFile(ctx context.Context, name string) (string, error) {
	out, err := h.Run(ctx, "cat", name)
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("reading %s in the host: %s", name, out.Stderr)
	}
	return out.Stdout, err
}

// WriteFile writes a file of root's in the host, mode 0644, and the folders that it needs. The path
// is looked up as the host sees it, its links included.
func (h *Host) WriteFile(ctx context.Context, name string, content []byte) error {
	const script = `mkdir -p "$1"; cat >"$2"; chmod 0644 "$2"`
	cmd := h.Command(ctx, "sh", "-euc", script, "sh", path.Dir(name), name)
	cmd.Stdin = bytes.NewReader(content)
	out, err := run(cmd)
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("writing %s in the host: %s", name, out.Stderr)
	}
	return err
}
