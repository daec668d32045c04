package daemon

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/tailnet"
)

// connectTailnet makes one attempt.
func (d *daemon) connectTailnet() {
	d.begin(func(ctx context.Context) {
		status, err := d.tailnet.Connect(ctx)
		if ctx.Err() != nil {
			return
		}
		status.Warnings = nil // none has lasted yet, as a Report's must
		report := &tailnet.Report{Status: status, Err: err}
		if err != nil {
			d.send(message{event: connectFailure(err), tailnet: report})
			return
		}
		d.send(message{event: lifecycle.TailnetConnected{}, tailnet: report})
	})
}

// followTailnet reports every change from now on.
func (d *daemon) followTailnet() {
	if d.following {
		d.repeatTailnet()
		return
	}
	d.following = true
	d.begin(func(ctx context.Context) {
		d.tailnet.Follow(ctx, func(r tailnet.Report) {
			if r.Err != nil {
				d.send(message{event: lifecycle.TailnetLost{}, tailnet: &r})
				return
			}
			d.send(message{event: lifecycle.TailnetRestored{}, tailnet: &r})
		})
	})
}

// repeatTailnet brings the last report to the state machine once more.
func (d *daemon) repeatTailnet() {
	switch r := d.view.tailnetReport(); {
	case r == nil:
	case r.Err != nil:
		d.later(lifecycle.TailnetLost{})
	default:
		d.later(lifecycle.TailnetRestored{})
	}
}

// recordTailnet keeps a report and logs what is new in it.
func (d *daemon) recordTailnet(r tailnet.Report) {
	var before tailnet.Report
	first := d.view.tailnetReport() == nil
	if !first {
		before = *d.view.tailnetReport()
	}
	d.view.setTailnet(r)
	names := d.view.naming()
	switch {
	case r.Err != nil && (before.Err == nil || before.Err.Error() != r.Err.Error()):
		args := []any{"error", names.words(r.Err), "backend_state", r.Status.Backend}
		if url := loginURL(r.Err); url != "" {
			args = append(args, "login_url", url)
		}
		d.log.Warn("the tailnet is not connected", args...)
	case r.Err == nil && (first || before.Err != nil):
		d.log.Info("the tailnet is connected", "name", r.Status.Name, "addresses", addressTexts(r.Status.Addresses),
			"userspace", r.Status.Userspace, "tailscaled", r.Status.Version)
	}
	isKnown := func(warning string) bool { return slices.Contains(before.Status.Warnings, warning) }
	for _, w := range names.warnings(slices.DeleteFunc(slices.Clone(r.Status.Warnings), isKnown)) {
		d.log.Warn("tailscaled warns", "warning", w)
	}
	d.recordKeyNotice(r)
}

// recordKeyNotice logs each of Report's notices once, and again if the key was renewed in between.
func (d *daemon) recordKeyNotice(r tailnet.Report) {
	if r.Status.KeyExpiry.IsZero() && r.Err != nil {
		return // nothing is known of the key now
	}
	if r.KeyNotice != 0 && (d.keyNotice == 0 || r.KeyNotice < d.keyNotice) {
		d.log.Warn("the key of this node expires soon; run `tailscale up --force-reauth` on this host before, or disable its expiry in the admin console",
			"expires", r.Status.KeyExpiry, "within", r.KeyNotice)
	}
	d.keyNotice = r.KeyNotice
}

func addressTexts(addresses []netip.Addr) []string {
	texts := make([]string, 0, len(addresses))
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	return texts
}

// connectFailure is what the state machine needs to know of an attempt that failed.
func connectFailure(err error) lifecycle.TailnetError {
	failure := lifecycle.TailnetError{Retry: true, ExitCode: lifecycle.ExitUnavailable}
	if e, ok := errors.AsType[*tailnet.Error](err); ok {
		failure.Retry = e.Retry
		if e.NeedsPerson {
			failure.ExitCode = lifecycle.ExitNoPerm
		}
	}
	return failure
}

// proxyConfig is what the proxy cannot know on its own.
func (d *daemon) proxyConfig(client *tailnet.Client) proxy.Config {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return proxy.Config{
		Host: host, Log: d.log, Registerer: d.registry,
		Tailnet: tailnetView{client, &d.view}, OwnName: d.asksByOwnName,
	}
}

// tailnetView is the tailnet as the proxy asks about it.
type tailnetView struct {
	client *tailnet.Client
	view   *view
}

// Required implements proxy.Tailnet.
func (t tailnetView) Required() bool { return t.view.lifecycle().TailnetRequired() }

// Running implements proxy.Tailnet.
func (t tailnetView) Running() bool { return t.view.lifecycle().Tailnet == lifecycle.TailnetUp }

// Look implements access.Tailnet. What tailscaled said holds as long as the same process runs, also while
// it does not respond. One that only the command reaches is on a socket that we do not know.
func (t tailnetView) Look(ctx context.Context) (access.Tailscaled, error) {
	said := t.view.answered.Load()
	process, err := t.client.Process(ctx)
	byCommand := said != nil && said.ByCommand
	switch {
	case errors.Is(err, tailnet.ErrNoDaemon) && !byCommand:
		return access.Tailscaled{Absent: true}, nil
	case err != nil && !errors.Is(err, tailnet.ErrNoDaemon):
		return access.Tailscaled{}, err
	}
	found := access.Tailscaled{PID: process.PID, UIDs: process.UIDs}
	if process.PID != 0 && (said == nil || said.PID != process.PID) { // it started just now
		status, _ := t.client.Connect(ctx) // an error says whether it is up, which is another question
		said = &status
	}
	if said != nil && said.PID == process.PID && (process.PID != 0 || byCommand) {
		found.Known, found.Userspace, found.Addresses = true, said.Userspace, said.Addresses
	}
	return found, nil
}

// ForwardsTo implements proxy.Tailnet.
func (t tailnetView) ForwardsTo(ctx context.Context, port uint16) (forwards, funnel bool, err error) {
	forwards, funnel, err = t.client.ForwardsTo(ctx, port)
	if err != nil && t.view.naming().withholds() {
		err = unnamed{err}
	}
	return forwards, funnel, err
}

// WhoIs implements proxy.Tailnet.
func (t tailnetView) WhoIs(ctx context.Context, addr netip.AddrPort) (access.Identity, bool, error) {
	peer, err := t.client.WhoIs(ctx, addr)
	switch {
	case errors.Is(err, tailnet.ErrPeerNotFound):
		return access.Identity{}, false, nil
	case err != nil && t.view.naming().withholds():
		return access.Identity{}, false, unnamed{err}
	case err != nil:
		return access.Identity{}, false, err
	}
	id := access.Identity{
		Node: peer.Node, NodeID: peer.NodeID, User: peer.User,
		Tags: peer.Tags, Capabilities: peer.Capabilities, Addresses: peer.Addresses,
	}
	if said := t.view.answered.Load(); said != nil {
		id.ShortNode = said.ShortName(peer.Node)
	}
	return id, true, nil
}
