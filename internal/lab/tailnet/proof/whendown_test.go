package proof_test

import (
	"testing"

	"oauth-proxyd/internal/lab/tailnet"
)

// later is a tailnet that is not there when the daemon starts.
type later struct {
	name  string
	rules []tailnet.Rule
	spec  tailnet.Spec
	down  func(*tailnet.Lab, *tailnet.Node) // until it is not there
	comes func(*tailnet.Lab, *tailnet.Node)
	code  int    // with when_down = "exit"; 0: it tries again
	fix   string // what the status says
}

func laters() []later {
	none := func(*tailnet.Lab, *tailnet.Node) {}
	return []later{
		{
			name: "tailscaled is started", spec: tailnet.Spec{NotRunning: true}, down: none,
			comes: func(_ *tailnet.Lab, n *tailnet.Node) { n.Run(); n.Login() },
			code:  69, fix: "systemctl start tailscaled",
		},
		{
			name: "a user logs in", rules: []tailnet.Rule{tailnet.LoginRequired},
			spec: tailnet.Spec{LoggedOut: true}, down: func(_ *tailnet.Lab, n *tailnet.Node) { n.Await("NeedsLogin") },
			comes: func(_ *tailnet.Lab, n *tailnet.Node) { n.Login() },
			code:  77, fix: "tailscale login",
		},
		{
			name: "an admin approves", rules: []tailnet.Rule{tailnet.ApprovalRequired},
			spec: tailnet.Spec{LoggedOut: true}, down: func(_ *tailnet.Lab, n *tailnet.Node) { n.BeginLogin(); n.Await("NeedsMachineAuth") },
			comes: func(_ *tailnet.Lab, n *tailnet.Node) { n.Approve() },
			code:  77, fix: "approve this node",
		},
		{
			name: "the key is renewed", down: func(_ *tailnet.Lab, n *tailnet.Node) { n.SetKeyExpiry(yesterday()); n.Await("NeedsLogin") },
			comes: func(_ *tailnet.Lab, n *tailnet.Node) { n.Login() },
			code:  77, fix: "the node key expired on",
		},
		{
			name: "tailscale up", down: func(_ *tailnet.Lab, n *tailnet.Node) { n.Down() },
			comes: func(_ *tailnet.Lab, n *tailnet.Node) { n.Up() },
			code:  69, fix: "tailscale up",
		},
		{
			name: "control is found", down: func(l *tailnet.Lab, n *tailnet.Node) { l.LoseControl(); n.Restart(); n.Await("NoState") },
			comes: func(l *tailnet.Lab, _ *tailnet.Node) { l.RestoreControl() }, fix: "has not come up yet",
		},
		{
			name: "a relay is found", down: func(_ *tailnet.Lab, n *tailnet.Node) { n.Isolate(); n.Restart(); n.Await("Starting") },
			comes: func(_ *tailnet.Lab, n *tailnet.Node) { n.Rejoin() }, fix: "has not come up yet",
		},
		{
			name: "tailscaled hangs no more", down: func(_ *tailnet.Lab, n *tailnet.Node) { n.Freeze() },
			comes: func(_ *tailnet.Lab, n *tailnet.Node) { n.Thaw() }, fix: "no response on",
		},
	}
}

// prepare makes the tailnet, and has it away.
func (l later) prepare(t *testing.T) (*tailnet.Lab, *tailnet.Node) {
	t.Helper()
	lab := tailnet.Start(t, l.rules...)
	lab.Node(tailnet.Spec{Name: "other"})
	l.spec.Name = "proxy"
	node := lab.Node(l.spec)
	l.down(lab, node)
	return lab, node
}

func TestWhenDownWaitFollowsLaterTailnet(t *testing.T) {
	t.Parallel()
	for _, row := range laters() {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			lab, node := row.prepare(t)
			d := newDaemon(t, setting{node: node, whenDown: "wait", upstream: newGated(t, node).url})
			d.run()
			d.notes.Next(t, "READY=1", "local clients only", row.fix)
			if h := d.health(); h.Status != "degraded" || h.code != 503 {
				t.Errorf("health %+v", h)
			}
			getHere(t, node, d.local()+"/here").Want(t, 200, "GET /here") // this host is served
			row.comes(lab, node)
			node.Await("Running")
			d.follows(row.name, true, "Running", "tailnet connected as proxy."+tailnet.Domain)
			d.stop()
		})
	}
}

func TestWithWhenDownExitItServesOnlyWithATailnet(t *testing.T) {
	t.Parallel()
	for _, row := range laters() {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			lab, node := row.prepare(t)
			d := newDaemon(t, setting{node: node, whenDown: "exit"})
			d.run()
			if row.code != 0 {
				if code := d.process.Exit(t); code != row.code {
					t.Errorf("exit code %d, want %d", code, row.code)
				}
				d.notes.Next(t, "STATUS=Gave up", row.fix)
			} else {
				d.notes.Next(t, "EXTEND_TIMEOUT_USEC")
			}
			if d.notes.Count("READY=1") > 0 {
				t.Error("READY=1 without a tailnet")
			}
			row.comes(lab, node)
			node.Await("Running")
			if row.code != 0 {
				d.run() // as systemd does for the next client
			}
			d.notes.Next(t, "READY=1", "tailnet connected as proxy."+tailnet.Domain)
			d.stop()
		})
	}
}
