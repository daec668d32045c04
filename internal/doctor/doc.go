// Package doctor walks the way of a request step by step and says of each step what
// was seen, and what mends it. It changes nothing.
//
// [Run] does the checks in the order in which a request travels: configuration,
// sockets, the daemon, tailscaled and what it says of this node, the listener as a
// peer finds it, who may come in, the header rules, the way out, the upstream. Each
// check is a small function in a file about its subject and has a time limit of its
// own. What one of them learned is kept for those after it (exam, in doctor.go). A
// check that had to be left out for want of a fact or of a right is "unknown", never
// "ok" (finding.go).
//
//	checks.go      all checks, in their order
//	config.go      the configuration, and its header rules
//	units.go       systemd's units
//	filter.go      whom their sockets keep out
//	sockets.go     the sockets and the daemon
//	tailscaled.go  tailscaled, and the listener as a peer finds it
//	access.go      who may come in; what tailscaled serves on our port
//	dns.go         MagicDNS, and the way out
//	upstream.go    the upstream, step by step, over the connections of the daemon (way.go)
//	certificate.go whose certificate it shows, where nobody vouches for it
//	families.go    name servers that are silent, and a dead IPv4 or IPv6
//	paste.go       what to paste into a gateway and into Claude Code
//
// Asked for a peer, it reads the tailnet's packet filter and the access rules as they
// apply to that node (peer.go). Asked for a gateway, it sends one request through it
// (through.go) that the running daemon recognises and answers by itself, and says what
// the gateway did to both (judge.go). The request has a made-up token and an empty
// message, so that also a gateway which leads elsewhere cannot cause more than a refusal.
//
// The running daemon is asked over its admin socket, tailscaled over its own.
// Without either the rest is still done.
package doctor
