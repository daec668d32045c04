package tailnet

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
)

// Login logs the node in, for the first time or again, and waits until it is Running. Where control
// asks for a login, the URL is visited; where it asks for an approval, the node is approved.
func (n *Node) Login() {
	n.t.Helper()
	n.BeginLogin()
	n.await("login", func(s *ipnstate.Status) bool {
		n.lab.control.server.CompleteAuth(s.AuthURL)
		return s.BackendState != "NeedsLogin" && s.BackendState != "NoState"
	})
	n.await("login", func(s *ipnstate.Status) bool {
		if s.BackendState == "NeedsMachineAuth" {
			n.Approve()
		}
		return s.BackendState == "Running"
	})
}

// BeginLogin does what `tailscale login` does until a user has to visit a URL, or an admin to
// approve.
func (n *Node) BeginLogin() {
	n.t.Helper()
	args := []string{
		"up", "--login-server=" + n.site.url, "--hostname=" + n.spec.Name, "--netfilter-mode=off",
		"--advertise-tags=" + strings.Join(n.spec.Tags, ","), "--force-reauth", "--accept-risk=all",
	}
	up := n.tailscaleCommand(args...)
	if err := up.Start(); err != nil {
		n.t.Fatalf("%v", err)
	}
	n.t.Cleanup(func() {
		_ = up.Process.Kill()
		_ = up.Wait() // it waits for what may never come
	})
}

// Up is `tailscale up` on a node that was logged in before.
func (n *Node) Up() {
	n.t.Helper()
	n.Tailscale("up")
	n.Await("Running")
}

// Down is `tailscale down`.
func (n *Node) Down() {
	n.t.Helper()
	n.Tailscale("down", "--accept-risk=all")
	n.Await("Stopped")
}

// Logout is `tailscale logout`.
func (n *Node) Logout() {
	n.t.Helper()
	n.Tailscale("logout")
	n.Await("NeedsLogin")
}

// SetKeyExpiry has control say that the node's key expires then; zero means never. A time in the
// past throws the node out, a later one lets it in again. It is cut to a whole second.
func (n *Node) SetKeyExpiry(at time.Time) {
	n.t.Helper()
	at = at.Truncate(time.Second)
	n.edit(func(node *tailcfg.Node) { node.KeyExpiry = at })
	n.await("new key expiry", func(s *ipnstate.Status) bool {
		if s.Self == nil || s.Self.KeyExpiry == nil {
			return at.IsZero()
		}
		return s.Self.KeyExpiry.Equal(at)
	})
}

// Unapprove takes back the approval of an admin.
func (n *Node) Unapprove() {
	n.t.Helper()
	n.edit(func(node *tailcfg.Node) { node.MachineAuthorized = false })
	n.Await("NeedsMachineAuth")
}

// Approve is what an admin does in the console.
func (n *Node) Approve() {
	n.t.Helper()
	n.edit(func(node *tailcfg.Node) { node.MachineAuthorized = true })
}

func (n *Node) edit(what func(*tailcfg.Node)) {
	n.t.Helper()
	if !n.lab.control.edit(n.spec.Name, what) {
		n.t.Fatalf("%s has never been logged in", n.spec.Name)
	}
}

// Route replaces the subnet routes that the node advertises, and approves them as an admin does. A
// route to everything makes it an exit node. Peers use routes after `tailscale set
// --accept-routes`, and an exit node after --exit-node.
func (n *Node) Route(routes ...netip.Prefix) {
	n.t.Helper()
	var listed []string
	exit := false
	for _, r := range routes {
		if exit = exit || r.Bits() == 0; r.Bits() > 0 {
			listed = append(listed, r.String())
		}
	}
	n.Tailscale("set", "--advertise-routes="+strings.Join(listed, ","), fmt.Sprintf("--advertise-exit-node=%t", exit))
	n.lab.control.change(func() {
		n.lab.control.nodes[n.spec.Name].routes = routes
		if node := n.lab.control.find(n.spec.Name); node != nil {
			n.lab.control.server.SetSubnetRoutes(node.Key, routes)
		}
	})
}

// Isolate has control name neither a relay nor a peer to this node. After a Restart it does not get
// past Starting.
func (n *Node) Isolate() {
	n.lab.control.say(n.spec.Name, func(c *controlled) { c.isolated = true })
}

// Rejoin ends Isolate.
func (n *Node) Rejoin() {
	n.lab.control.say(n.spec.Name, func(c *controlled) { c.isolated = false })
}

// Warn has control say that these things are wrong with the node, and no others. It is what
// `tailscale status` shows as a health check.
func (n *Node) Warn(texts ...string) {
	warnings := map[tailcfg.DisplayMessageID]*tailcfg.DisplayMessage{}
	for _, text := range texts {
		warnings[tailcfg.DisplayMessageID(text)] = &tailcfg.DisplayMessage{
			Title: text, Text: text, Severity: tailcfg.SeverityMedium,
		}
	}
	n.lab.control.say(n.spec.Name, func(c *controlled) { c.warnings = warnings })
}

// Stop ends tailscaled as `systemctl stop` does: its socket goes with it.
func (n *Node) Stop() {
	n.t.Helper()
	n.signal(syscall.SIGTERM)
	n.awaitEnd()
}

// Kill ends tailscaled as a crash does: its socket stays behind and refuses.
func (n *Node) Kill() {
	n.t.Helper()
	n.signal(os.Kill)
	n.awaitEnd()
}

// Restart is Stop and Run. The node may still be on its way to a state.
func (n *Node) Restart() {
	n.t.Helper()
	n.Stop()
	n.Run()
}

// Freeze has tailscaled hang: its socket accepts, and nothing responds.
func (n *Node) Freeze() {
	n.t.Helper()
	n.signal(syscall.SIGSTOP)
}

// Thaw ends Freeze.
func (n *Node) Thaw() {
	n.t.Helper()
	n.signal(syscall.SIGCONT)
}
