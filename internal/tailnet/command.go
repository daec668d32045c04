package tailnet

import (
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
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
)

// askCommand reads the status from the tailscale command. A command that cannot identify this node
// by whois cannot identify peers either, so no peer could be served.
func (c *Client) askCommand(ctx context.Context) (Status, error) {
	var facts *ipnstate.Status
	if err := c.runCommand(ctx, &facts, "status", "--json", "--peers=false"); err != nil {
		return Status{}, err
	}
	status, err := statusFrom(facts)
	status.ByCommand = true
	if err == nil && status.Backend == ipn.Running.String() && len(status.Addresses) > 0 {
		err = c.runCommand(ctx, new(any), "whois", "--json", status.Addresses[0].String())
	}
	return status, err
}

// maxWhoIsCommands is how many whois commands run at a time: each is a process, and any peer can
// cause one.
const maxWhoIsCommands = 4

// whoIsByCommand asks the command for the peer behind addr. It tells an unknown peer by the
// command's text, because the exit code is the same for all errors.
func (c *Client) whoIsByCommand(ctx context.Context, addr netip.AddrPort) (*apitype.WhoIsResponse, error) {
	select {
	case c.commands <- struct{}{}:
		defer func() { <-c.commands }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to run `tailscale whois`: %w", ctx.Err())
	}
	var found *apitype.WhoIsResponse
	err := c.runCommand(ctx, &found, "whois", "--json", "--proto=tcp", addr.String())
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		if printed := string(failed.Stderr); strings.Contains(printed, "peer not found") || strings.Contains(printed, "no match for IP") {
			return nil, local.ErrPeerNotFound
		}
	}
	if err != nil && !isMissing(err) {
		return nil, fmt.Errorf("`tailscale whois`: %w", &foreignError{err})
	}
	return found, err
}

// runCommand runs `tailscale` with args and decodes the JSON that it prints. Of our environment the
// command gets PATH only. Its process group is killed when ctx ends. Without Config.Socket the
// command chooses the socket.
func (c *Client) runCommand(ctx context.Context, into any, args ...string) error {
	if c.cfg.Socket != "" {
		args = append([]string{"--socket=" + c.cfg.Socket}, args...)
	}
	cmd := exec.CommandContext(ctx, "tailscale", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond // for a child that left the group and holds our pipe
	out, err := cmd.Output()
	if err != nil {
		return cmp.Or(ctx.Err(), err) // rather than "signal: killed"
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("reading its output: %w", err)
	}
	return nil
}

// isInstalled reports whether the tailscale command is in PATH, as with every package of Tailscale.
func isInstalled() bool {
	_, err := exec.LookPath("tailscale")
	return err == nil
}

func isMissing(err error) bool {
	return errors.Is(err, exec.ErrNotFound) || errors.Is(err, exec.ErrDot)
}
