package daemon

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/tailnet"
)

func (d *daemon) connectTailnet() {
	client := d.tailnet
	d.inBackground(func(ctx context.Context) {
		status, err := client.Connect(ctx)
		if ctx.Err() != nil {
			return
		}
		status.Warnings = nil // a report has only warnings that last
		d.reportTailnet(tailnet.Report{Status: status, Err: err})
	})
}

func (d *daemon) reportTailnet(r tailnet.Report) {
	d.inLoop(func() {
		d.recordTailnet(r)
		d.raise(tailnetEvent(r.Err))
	})
}

func tailnetEvent(err error) lifecycle.Event {
	if err == nil {
		return lifecycle.TailnetConnected{}
	}
	lost := lifecycle.TailnetLost{Retry: true, ExitCode: lifecycle.ExitUnavailable}
	if e, ok := errors.AsType[*tailnet.Error](err); ok {
		lost.Retry = e.Retry
		if e.NeedsPerson {
			lost.ExitCode = lifecycle.ExitNoPerm
		}
	}
	return lost
}

// followTailnet reports every change from now on. If it does so already, it sends the last report
// again.
func (d *daemon) followTailnet() {
	if d.following {
		if r := d.view().tailnet; r.Err != nil || r.Status.Backend != "" {
			d.raise(tailnetEvent(r.Err))
		}
		return
	}
	d.following = true
	client := d.tailnet
	d.inBackground(func(ctx context.Context) { client.Follow(ctx, d.reportTailnet) })
}

// recordTailnet keeps a report and logs what is new in it.
func (d *daemon) recordTailnet(r tailnet.Report) {
	before := d.view().tailnet
	d.publish(func(v *view) {
		v.tailnet = r
		if r.Status.Backend != "" {
			v.tailscaled = r.Status
		}
	})
	naming := d.view().naming
	switch {
	case r.Err != nil && (before.Err == nil || before.Err.Error() != r.Err.Error()):
		args := []any{"error", naming.hide(r.Err), "backend_state", r.Status.Backend}
		if url := loginURL(r.Err); url != "" {
			args = append(args, "login_url", url)
		}
		d.log.Warn("the tailnet is not connected", args...)
	case r.Err == nil && (before.Err != nil || before.Status.Backend == ""):
		var addresses []string
		for _, a := range r.Status.Addresses {
			addresses = append(addresses, a.String())
		}
		d.log.Info("the tailnet is connected", "name", r.Status.Name, "addresses", addresses,
			"userspace", r.Status.Userspace, "tailscaled", r.Status.Version)
	}
	isKnown := func(warning string) bool { return slices.Contains(before.Status.Warnings, warning) }
	for _, w := range naming.warnings(slices.DeleteFunc(slices.Clone(r.Status.Warnings), isKnown)) {
		d.log.Warn("tailscaled warns", "warning", w)
	}
	if r.Err == nil && r.Status.KeyNotice != 0 && r.Status.KeyNotice != d.keyNotice {
		d.log.Warn("the key of this node expires soon; run `tailscale up --force-reauth` on this host before then, or disable its expiry in the admin console",
			"expires", r.Status.KeyExpiry, "within", r.Status.KeyNotice)
	}
	if r.Err == nil { // otherwise nothing may be known of the key
		d.keyNotice = r.Status.KeyNotice
	}
}

// loginURL returns the URL at which a person can log this node in; empty: tailscaled gave none.
func loginURL(err error) string {
	if e, ok := errors.AsType[*tailnet.Error](err); ok {
		return e.AuthURL
	}
	return ""
}

// tailnetView implements access.Tailnet, which is what the proxy asks about the tailnet.
type tailnetView struct {
	client *tailnet.Client
	daemon *daemon
}

func (t tailnetView) Required() bool { return t.daemon.view().state.TailnetRequired() }

func (t tailnetView) Running() bool { return t.daemon.view().state.Tailnet == lifecycle.TailnetUp }

// Look asks the kernel which process tailscaled is. The last status of that process says how it
// delivers connections, even while it does not respond.
//
//	tailscaled listens on    its last status is from         result
//	our socket               this process                    Known
//	our socket               another process, or none        asked now; Known if it responds
//	another socket           the tailscale command           Known
//	another socket           the socket, or none             not Known
//	none                     the tailscale command           Known, but not its users
//	none                     the socket, or none             Absent
//	(the kernel cannot say)  any                             an error
//
// If tailscaled is Absent or runs as another user than the client, a connection from loopback is
// local. Otherwise a Known tailscaled is asked about the connection, and without one it is refused
// (proveLoopback of package access).
func (t tailnetView) Look(ctx context.Context) (access.Tailscaled, error) {
	status := t.daemon.view().tailscaled
	process, err := t.client.Process(ctx)
	noSocket := errors.Is(err, tailnet.ErrNoDaemon)
	switch {
	case err != nil && !noSocket:
		return access.Tailscaled{}, err
	case noSocket && !status.ByCommand:
		return access.Tailscaled{Absent: true}, nil
	}
	found := access.Tailscaled{PID: process.PID, UIDs: process.UIDs, Known: status.ByCommand}
	if process.PID != 0 { // it listens on our socket
		if status.PID != process.PID {
			status, _ = t.client.Connect(ctx) // an error says whether it is up, which is another question
		}
		found.Known = status.PID == process.PID
	}
	if found.Known {
		found.Userspace, found.Addresses = status.Userspace, status.Addresses
	}
	return found, nil
}

func (t tailnetView) ForwardsTo(ctx context.Context, port uint16) (forwards, funnel bool, err error) {
	forwards, funnel, err = t.client.ForwardsTo(ctx, port)
	return forwards, funnel, t.daemon.view().naming.hide(err)
}

func (t tailnetView) WhoIs(ctx context.Context, addr netip.AddrPort) (access.Identity, bool, error) {
	id, found, err := t.client.WhoIs(ctx, addr)
	view := t.daemon.view()
	id.ShortNode = view.tailscaled.ShortName(id.Node)
	return id, found, view.naming.hide(err)
}
