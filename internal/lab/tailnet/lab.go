package tailnet

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"tailscale.com/tailcfg"
)

// T is what a lab needs of a test; *testing.T has it.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(end func())
	Context() context.Context
	Failed() bool
}

// Rule is something that the tailnet asks of each new node.
type Rule int

// The rules.
const (
	// LoginRequired: a node is let in when a user has visited its login URL.
	LoginRequired Rule = iota
	// ApprovalRequired: a node is let in when an admin has approved it.
	ApprovalRequired
)

// patience bounds the wait for anything that is to happen. A busy machine is slow.
const patience = 60 * time.Second

// Lab is one tailnet. Its methods end the test where something fails.
type Lab struct {
	t        T
	dir      string
	binaries binaries
	control  *control
	relay    *relay
	loopback *site
	ethernet *site // nil before the first node with a host of its own
}

// site is a ground with control and relay on it.
type site struct {
	*ground
	url  string // of control
	derp *tailcfg.DERPMap
}

// Start starts control and relay. They end with the test, after all nodes.
func Start(t T, rules ...Rule) *Lab {
	t.Helper()
	found, err := findBinaries()
	if err != nil {
		t.Fatalf("%v", err)
	}
	dir, err := os.MkdirTemp("", "lab") // short, for sockets in it
	if err != nil {
		t.Fatalf("%v", err)
	}
	l := &Lab{t: t, dir: dir, binaries: found, control: newControl(rules), relay: newRelay()}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // daemons that are not root use the sockets in it
		t.Fatalf("%v", err)
	}
	t.Cleanup(l.relay.end)
	t.Cleanup(l.control.end)
	l.loopback = l.open(&ground{address: "127.0.0.1"})
	return l
}

// open begins to serve on one more ground.
func (l *Lab) open(g *ground) *site {
	l.t.Helper()
	s := &site{ground: g}
	var err error
	if s.url, err = l.control.serve(g); err != nil {
		l.t.Fatalf("%v", err)
	}
	if s.derp, err = l.relay.serve(g); err != nil {
		l.t.Fatalf("%v", err)
	}
	return s
}

// site is where nodes of that kind stand.
func (l *Lab) site(ownHost bool) *site {
	l.t.Helper()
	if !ownHost {
		return l.loopback
	}
	if l.ethernet == nil {
		if err := Namespaces(); err != nil {
			l.t.Fatalf("no host of its own for a node: %v", err)
		}
		ground, err := newEthernet()
		if err != nil {
			l.t.Fatalf("%v", err)
		}
		l.t.Cleanup(ground.hub.end)
		l.ethernet = l.open(ground)
	}
	return l.ethernet
}

// LoseControl makes control refuse all connections and ends those that are open.
func (l *Lab) LoseControl() {
	l.control.change(func() { l.control.lost = true })
	l.control.cut()
}

// RestoreControl ends LoseControl. Nodes that run come back within half a minute or
// so; one that is restarted comes back at once.
func (l *Lab) RestoreControl() {
	l.control.change(func() { l.control.lost = false })
}

// DNSName is the MagicDNS name of the node of that name.
func DNSName(name string) string { return name + "." + Domain }

func (l *Lab) path(name string) string { return filepath.Join(l.dir, name) }
