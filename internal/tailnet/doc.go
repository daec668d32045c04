// Package tailnet asks the host's tailscaled about its state, and reports it. It only reads: the
// node and its identity belong to tailscaled.
//
//	client := tailnet.New(tailnet.Config{})
//	status, err := client.Connect(ctx)              // one attempt, and its verdict
//	client.Follow(ctx, func(r tailnet.Report) {…}) // the status, and each change of it
//	peer, found, err := client.WhoIs(ctx, addr)     // the peer that connected from addr
//
// # Where the facts come from
//
// They come from the local API on tailscaled's Unix socket
// (https://pkg.go.dev/tailscale.com/client/local). Only if the dial fails, the tailscale command is
// run, which may find tailscaled elsewhere. If the socket accepts and then hangs or responds with
// nonsense, the command is not run, because it would use the same socket.
//
// A backend in state Running is connected. Anything else is an [*Error], which says whether another
// attempt may help, what is wrong, and how to fix it. One function, verdict, judges all states
// (https://pkg.go.dev/tailscale.com/ipn#State).
//
// [Client.Follow] watches tailscaled's IPN bus and reads the status again after each notification;
// without a bus it polls. While no tailscaled runs, it tries the socket every second, which starts
// no process, and the command at growing intervals.
//
// # Files
//
//	tailnet.go  Client: one attempt (errors.go: its verdict)
//	socket.go   the local API on the socket; command.go: the command if that fails
//	status.go   what they say about this node, and which warnings are reported
//	follow.go   each change of it
//	whois.go    the peer of a connection; process.go: which process tailscaled is
//	serve.go    what tailscaled itself serves, and forwards to this host
//	network.go  for doctor: the peers, this node's settings, and who may connect
package tailnet
