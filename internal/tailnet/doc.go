// Package tailnet asks the host's tailscaled for facts and reports them. It owns no tailnet
// identity and changes nothing: the node belongs to tailscaled, and this package only reads.
//
//	client := tailnet.New(tailnet.Config{})
//	status, err := client.Connect(ctx)              // one attempt, and its verdict
//	client.Follow(ctx, func(r tailnet.Report) {…}) // the facts, and each change of them
//	peer, found, err := client.WhoIs(ctx, addr)     // the peer that connected from addr
//
// # The facts
//
// They come from the local API on tailscaled's Unix socket
// (https://pkg.go.dev/tailscale.com/client/local). Only when that cannot be reached at all (the
// dial fails) the tailscale command is run, which may find tailscaled elsewhere. A socket that
// accepts and then hangs, or responds with nonsense, is not followed by the command, which would
// use the same socket.
//
// A backend that is Running is connected. All else is an [*Error], which says whether another
// attempt may help, what is wrong, and how to fix it; one function, verdict, judges all states
// (https://pkg.go.dev/tailscale.com/ipn#State).
//
// [Client.Follow] watches tailscaled's IPN bus, takes what arrives there as a hint only, and reads
// the status again; where there is no bus it polls. While there is no tailscaled it tries the
// socket every second, which starts no process, and the command ever more rarely.
//
// # Where it is
//
//	tailnet.go  Client: one attempt (errors.go: its verdict)
//	socket.go   the local API on the socket; cli.go: the command where that fails
//	status.go   what they say of this node
//	follow.go   each change of it (bus.go: the hints; warnings.go: which warnings are worth a word)
//	whois.go    the peer of a connection; process.go: which process tailscaled is
//	serve.go    what tailscaled itself serves, and forwards to this host
//	network.go  for doctor: the peers, this node's settings, and who may connect
package tailnet
