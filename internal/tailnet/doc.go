// Package tailnet asks the host's tailscaled for facts and reports them. It
// owns no tailnet identity and changes nothing: the node belongs to
// tailscaled, and this package only reads.
//
// # Where the facts come from
//
// [Client.Connect] makes one attempt: it asks the local API on tailscaled's
// Unix socket. Only when that socket cannot be reached at all (the dial fails)
// it runs `tailscale status --json --peers=false`, found in PATH, which may
// know another way in. A socket that accepts and then hangs, or answers
// nonsense, is not asked twice: the command would use the same socket.
//
// # What the facts mean
//
// The same call judges them. Running is connected. NeedsLogin, NeedsMachineAuth
// and Stopped are states that only a person ends. A socket file that does not
// exist means that no tailscaled runs. All else, Starting and NoState (every boot
// passes it) among it, is worth another attempt. The verdict is an [*Error]: its
// [Kind] is for the program, its text is for the operator and names the command
// that mends it.
//
// # Staying informed
//
// [Client.Follow] reports the facts once and then every change of them. It
// watches tailscaled's IPN bus, takes what arrives there as a hint only, and
// reads the status again; where there is no bus it polls. While there is no
// tailscaled it tries the socket every second, which starts no process, and the
// command ever more rarely. After a resume from sleep it asks at once.
//
// # Who is calling
//
// [Client.WhoIs] names the node and user behind a connection, by the command where the
// socket cannot be reached. [Client.Process] says which process tailscaled is, without asking
// it, and [Client.ForwardsTo] whether it forwards connections to a port of this host: without
// both, a peer could be taken for a program on this host.
//
// # Looking for a fault
//
// [Client.Network], [Client.Prefs], [Client.Published] and [Client.Filter] are for a
// command that an operator runs, not for the request path: they may be large.
//
// # Where it is
//
//	tailnet.go    Client: one attempt, and its verdict (errors.go: kinds and remedies)
//	socket.go     the local API on the socket; cli.go: the command where that fails
//	status.go     what they say of this node; expiry.go: of its key, in words
//	follow.go     the facts, and each change of them (bus.go: the hints;
//	              sleep.go: a resume; debounce.go: warnings that last;
//	              keynotice.go: when a key's end is worth a word)
//	whois.go      who a connection is; process.go: which process tailscaled is
//	network.go    the peers, prefs.go: this node's settings, published.go: what
//	              tailscaled itself serves, filter.go: who may connect
//
// The local API is described by https://pkg.go.dev/tailscale.com/client/local,
// the states by https://pkg.go.dev/tailscale.com/ipn#State.
package tailnet
