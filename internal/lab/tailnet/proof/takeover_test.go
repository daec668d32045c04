package proof_test

import (
	"net/http"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// onTheLAN is an address of the daemon's host on an Ethernet that uses 100.64.0.0/10, the range of
// Tailscale's addresses, as the networks of some providers do (RFC 6598).
const onTheLAN = "100.99.0.1"

// absence is a state in which tailscaled may still know its peers, although a packet with a peer's
// address need not come from that peer.
type absence struct {
	name   string
	begins func(*tailnet.Lab, *tailnet.Node)
	ends   func(*tailnet.Lab, *tailnet.Node)
}

func absences() []absence {
	on := func(f func(*tailnet.Node)) func(*tailnet.Lab, *tailnet.Node) {
		return func(_ *tailnet.Lab, n *tailnet.Node) { f(n) }
	}
	return []absence{
		{"down", on((*tailnet.Node).Down), on((*tailnet.Node).Up)},
		{
			"expired", on(func(n *tailnet.Node) { n.SetKeyExpiry(yesterday()); n.Await("NeedsLogin") }),
			on(func(n *tailnet.Node) { n.SetKeyExpiry(time.Time{}) }),
		},
		{"stopped", on((*tailnet.Node).Stop), on((*tailnet.Node).Run)},
		{"killed", on((*tailnet.Node).Kill), on((*tailnet.Node).Run)},
		{
			"without-control", func(l *tailnet.Lab, n *tailnet.Node) { l.LoseControl(); n.Restart(); n.Await("NoState") },
			func(l *tailnet.Lab, _ *tailnet.Node) { l.RestoreControl() },
		},
		{"logged-out", on((*tailnet.Node).Logout), on((*tailnet.Node).Login)},
	}
}

// TestAHostThatTakesAPeersAddressIsNotThePeer has another host on the same Ethernet use the address
// of a peer that is allowed to send requests, while the tailnet is away.
func TestAHostThatTakesAPeersAddressIsNotThePeer(t *testing.T) {
	t.Parallel()
	if !canTUN(t) {
		return
	}
	lab := tailnet.Start(t)
	host := lab.Node(tailnet.Spec{Name: "proxy", TUN: true})
	alice := lab.Node(tailnet.Spec{Name: "alice", User: "alice@example.com"})
	thief := lab.Node(tailnet.Spec{Name: "thief", TUN: true, NotRunning: true}) // it is on the Ethernet only
	on(t, host, "ip", "address", "add", onTheLAN+"/10", "dev", "eth0")
	on(t, thief, "ip", "address", "add", alice.Addr().String()+"/10", "dev", "eth0")
	w := newRecorder(t, host)
	d := start(t, setting{node: host, upstream: w.url, nobody: true, blocks: []string{list("local", "alice@example.com")}})
	get(t, alice, d.url()+"/alice").Want(t, http.StatusOK)
	for _, row := range absences() {
		own := host.Addr().String()
		row.begins(lab, host)
		daemontest.Eventually(t, "degraded", func() bool { return d.health().Status == "degraded" })
		w.wantOutside(t, "/thief-"+row.name, get(t, thief, d.at(onTheLAN)+"/thief-"+row.name), "tailnet_unavailable")
		// The Ethernet may also give the daemon's host the address that it has on the tailnet.
		on(t, host, "ip", "address", "replace", own+"/10", "dev", "eth0")
		w.wantOutside(t, "/twice-"+row.name, get(t, thief, d.at(own)+"/twice-"+row.name), "tailnet_unavailable")
		on(t, host, "ip", "address", "delete", own+"/10", "dev", "eth0")
		d.wantLocal("/own-"+row.name, onTheLAN)
		row.ends(lab, host)
		host.Await("Running")
	}
	daemontest.Eventually(t, "healthy", func() bool { return d.health().Status == "healthy" })
	reach(t, alice, d.url()+"/again").Want(t, http.StatusOK)
}

// TestNoPeerAdmittedBeforeApproval is about the one state other than Running in which
// tailscaled still delivers what its peers send.
func TestNoPeerAdmittedBeforeApproval(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab, host := newHost(t, tun)
		alice := lab.Node(tailnet.Spec{Name: "alice", User: "alice@example.com"})
		w := newRecorder(t, host)
		d := start(t, setting{node: host, upstream: w.url, blocks: []string{list("local", "alice@example.com")}})
		kept := alice.Client()
		getBy(t, kept, d.url()+"/approved").Want(t, http.StatusOK)
		host.Unapprove()
		daemontest.Eventually(t, "degraded", func() bool { return d.health().Status == "degraded" })
		w.wantOutside(t, "/kept", getBy(t, kept, d.url()+"/kept"), "tailnet_unavailable")
		w.wantOutside(t, "/new", get(t, alice, d.url()+"/new"), "tailnet_unavailable")
		d.wantLocal("/own")
		host.Approve()
		daemontest.Eventually(t, "healthy", func() bool { return d.health().Status == "healthy" })
		reach(t, alice, d.url()+"/again").Want(t, http.StatusOK)
	})
}
