// Package doctor checks each hop of the request path. It reports what it found and how to fix it,
// and changes nothing.
//
//	report := doctor.Run(ctx, doctor.Config{File: name, Load: load, Through: "http://ai"})
//	if !report.OK {
//		fmt.Println(report.Findings)
//	}
//
// [Run] makes the checks in the order in which a request travels. Each check is a function in the
// file of its subject and has a time limit. It may leave facts for the checks after it. A check
// that lacks a fact or a right is "unknown", never "ok". The running daemon is asked over its admin
// socket, tailscaled over its own; without either, the other checks are still made.
//
//	doctor.go      all checks in their order; finding.go: their results
//	config.go      the configuration, and its header rules
//	units.go       systemd's units; filter.go: the packets that their sockets drop
//	sockets.go     the sockets and the daemon; process.go: why it does not respond
//	tailscaled.go  tailscaled, the node's key, MagicDNS, what it serves, and the listener as a peer
//	               reaches it
//	access.go      access.allow and identity.from
//	peer.go        --peer: the packet filter and access.allow for one node; refused connections
//	upstream.go    the resolver, proxy and exit node of this host; the upstream, step by step, on
//	               connections like the daemon's (attempt.go)
//	certificate.go a certificate that is not trusted
//	gateway.go     --through: a probe through a gateway; gatewayfindings.go: what became of it
//	paste.go       --paste: the configuration of a gateway and of Claude Code
package doctor
