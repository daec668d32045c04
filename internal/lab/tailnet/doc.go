// Package tailnet is a whole tailnet on one machine: a control server in this process, a DERP relay
// with STUN beside it, and any number of real tailscaled processes that know no other. No packet
// leaves the machine.
//
//	lab := tailnet.Start(t)
//	host := lab.Node(tailnet.Spec{Name: "proxy"})
//	peer := lab.Node(tailnet.Spec{Name: "aperture", Tags: []string{"tag:aperture"}})
//
// Node returns when the node is Running. What a program on it would see is there to be used:
// [Node.Socket], the path of its tailscaled's socket, [Node.Command], a process on the node's host,
// [Node.Client], an HTTP client whose requests come from it and which resolves MagicDNS names as
// the node does.
//
// # Two kinds of nodes
//
// By default tailscaled runs in userspace mode on this host's loopback: peers reach what listens on
// 127.0.0.1, and arrive from there. With Spec.TUN the node is a host of its own, with network and
// mount namespaces, a TUN device, its own resolv.conf, and an Ethernet to the control server.
// Spec.OwnHost is the same without the TUN device, in userspace mode. Both need root, and
// [Namespaces] says beforehand whether they can be had. All kinds can be in one lab; they reach
// each other through the relay. A node that has a host of its own and is NotRunning is another host
// on that Ethernet, which the tailnet does not know.
//
// # What can happen to a node
//
//	Stopped            Down; Up ends it
//	NeedsLogin         Logout, or Spec.LoggedOut; Login ends it
//	NeedsLogin         SetKeyExpiry with a time in the past: the key is expired
//	NeedsMachineAuth   Unapprove; Approve ends it
//	NoState            Lab.LoseControl, then Restart; Lab.RestoreControl ends it
//	Starting           Isolate, then Restart; Rejoin ends it
//	no daemon          Stop (the socket goes), Kill (it stays), Freeze (it hangs);
//	                   Run and Thaw end it
//	health warnings    Warn
//
// [Node.Route] makes a node a subnet router or an exit node. Spec.SharedAs is for a node that
// another tailnet shares with this one. [Node.ClientAs] is a client on the node's host that belongs
// to another user than tailscaled.
//
// [Lab.Grant] replaces the rules of who may reach whom and with which application capabilities;
// without it everybody may reach everybody.
//
// # By hand
//
// "make tailnet" starts a lab and prints what to type to use it. The commands tailscale and
// tailscaled are built by "make tailscaled", once for each version of them and of Go, into the
// folder .cache of the repository; [Start] has that done where it was not.
//
// # Where it is
//
//	lab.go      Start, and what a lab consists of
//	control.go  the control server: what it tells each node
//	cuttable.go its connections, which can be lost
//	grant.go    the rules of who may reach whom
//	relay.go    DERP and STUN
//	ground.go   loopback, and the network of the namespaces
//	node.go     a node: its tailscaled, starting and ending it
//	state.go    what can happen to a node
//	use.go      commands, connections and requests from a node
//	binaries.go the two commands
//
// It is a module of its own, so that the daemon's go.mod keeps to what it links.
package tailnet
