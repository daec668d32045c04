package proof_test

import (
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/lab/tailnet"
)

// newHost is a lab with the node that the daemon is on, and another one: alone it would not get
// past Starting.
func newHost(t *testing.T, tun bool, rules ...tailnet.Rule) (*tailnet.Lab, *tailnet.Node) {
	t.Helper()
	lab := tailnet.Start(t, rules...)
	lab.Node(tailnet.Spec{Name: "other", TUN: tun})
	return lab, lab.Node(tailnet.Spec{Name: "proxy", TUN: tun})
}

func TestEachChangeOfTheTailnetShowsSoon(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab, node := newHost(t, tun)
		d := start(t, setting{node: node})
		d.follows("running", true, "Running", "tailnet connected as proxy."+tailnet.Domain)
		back := func(what string) {
			node.Await("Running")
			d.follows(what, true, "Running", "tailnet connected")
		}
		node.Down()
		d.follows("tailscale down", false, "Stopped", "run `tailscale up`")
		node.Up()
		back("tailscale up")
		node.Unapprove()
		d.follows("approval taken back", false, "NeedsMachineAuth", "approve this node")
		node.Approve()
		back("approved")
		expired := time.Now().Add(-time.Hour)
		expire := func() {
			node.SetKeyExpiry(expired)
			node.Await("NeedsLogin")
			d.follows("key expired", false, "NeedsLogin", "the node key expired on "+expired.UTC().Format(time.DateOnly), "tailscale up --force-reauth")
		}
		expire()
		node.SetKeyExpiry(time.Time{})
		back("key renewed by an admin")
		expire()
		node.Login()
		back("key renewed by a login")
		node.Stop()
		d.follows("tailscaled stopped", false, "", "tailscaled is not running", "systemctl start tailscaled")
		node.Run()
		back("tailscaled started")
		node.Kill()
		d.follows("tailscaled killed", false, "", "systemctl start tailscaled")
		node.Run()
		back("tailscaled started after a crash")
		before := d.health().IP
		node.Logout()
		d.follows("tailscale logout", false, "NeedsLogin", "run `tailscale login`")
		if strings.Contains(d.lastStatus(), "expired") {
			t.Errorf("logged out is told as expired: %s", d.lastStatus())
		}
		node.Login()
		back("logged in")
		if after := d.health().IP; after != node.Addr().String() || after == before {
			t.Errorf("address %s, before the logout %s, is %v", after, before, node.Addr())
		}
		lab.LoseControl()
		node.Restart()
		node.Await("NoState")
		d.follows("no control", false, "NoState", "has not come up yet")
		lab.RestoreControl()
		back("control restored")
	})
}

// TestAKeyThatRunsOutShowsSoon has nobody say so: tailscaled looks at its clock, some ten seconds
// late.
func TestAKeyThatRunsOutShowsSoon(t *testing.T) {
	t.Parallel()
	_, node := newHost(t, false)
	d := start(t, setting{node: node})
	d.follows("running", true, "Running", "tailnet connected")
	node.SetKeyExpiry(time.Now().Add(2 * time.Second))
	node.Await("NeedsLogin")
	d.follows("key ran out", false, "NeedsLogin", "the node key expired on ")
}
