package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"oauth-proxyd/internal/faketailscaled"
)

// Daemon is oauth-proxyd as it is shipped, with all that it does: its rule, the access check,
// request ids, metrics, and its log at info.
type Daemon struct {
	*Process
	Address string
	Args    []string      // its command line
	Ready   time.Duration // from its start until it said READY=1
	Notify  *Notify       // what else it says

	config     string
	tailscaled *faketailscaled.Server
}

// DaemonConfig says what to run in front of what.
type DaemonConfig struct {
	Program   string
	Address   string // to listen at
	Upstream  string // URL
	Authority string // file; for an upstream with TLS
	Place     Place
	Dir       string // for its files; of its own
	Settings  string // more of the block proxy of its configuration
}

// StartDaemon waits until it serves. A tailscaled stands in, up and connected.
func StartDaemon(ctx context.Context, c DaemonConfig) (d *Daemon, err error) {
	d = &Daemon{Address: c.Address, config: filepath.Join(c.Dir, "oauth-proxyd.hcl"), tailscaled: faketailscaled.New()}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	socket := filepath.Join(c.Dir, "ts.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return d, err
	}
	d.tailscaled.Serve(listener)
	if d.Notify, err = NewNotify(filepath.Join(c.Dir, "notify.sock")); err != nil {
		return d, err
	}
	if err = d.configure(c, socket); err != nil {
		return d, err
	}
	d.Args = []string{c.Program, "serve", "--config", d.config, "--log-format", "json"}
	begin := time.Now()
	d.Process, err = Start(Program{
		Args: d.Args,
		Env: []string{
			"PATH=" + c.Dir + ":" + os.Getenv("PATH"), "RUNTIME_DIRECTORY=" + c.Dir, "NOTIFY_SOCKET=" + d.Notify.Path, "PROFILES=" + os.Getenv("PROFILES"),
			"GOGC=200", // as the unit has it
		},
		Place: c.Place, Log: filepath.Join(c.Dir, "log"),
	})
	if err != nil {
		return d, err
	}
	if _, err = d.Notify.Await(ctx, "READY=1"); err != nil {
		return d, fmt.Errorf("starting oauth-proxyd: %w: %s", err, d.said())
	}
	d.Ready = time.Since(begin)
	return d, nil
}

func (d *Daemon) configure(c DaemonConfig, tailscaled string) error {
	return os.WriteFile(d.config, fmt.Appendf(nil, `
proxy {
  listen_addr      = %q
  upstream_url     = %q
  upstream_ca_file = %q
  %s
}
tailscale {
  socket = %q
}
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
  when {
    bearer_prefix = "sk-ant-oat"
  }
}`, d.Address, c.Upstream, c.Authority, c.Settings, tailscaled), 0o644)
}

// Close stops what StartDaemon started.
func (d *Daemon) Close() {
	if d.Process != nil {
		d.Stop()
	}
	if d.Notify != nil {
		d.Notify.Close()
	}
	d.tailscaled.Close()
}
