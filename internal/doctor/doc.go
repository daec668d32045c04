// Package doctor checks each hop of the request path and reports what it saw and how to fix what is
// wrong. It changes nothing.
//
//	report := doctor.Run(ctx, doctor.Config{File: name, Load: load, Through: "http://ai"})
//	if !report.OK {
//		fmt.Println(report.Findings)
//	}
//
// [Run] makes the checks in the order in which a request travels: configuration, sockets, the
// daemon, tailscaled, the listener as a peer finds it, who may come in, the header rules, the path
// to the upstream, the upstream. Each check is a function in a file about its subject and has a
// time limit. It leaves the facts that it found to the checks after it. A check that lacks a fact
// or a right is "unknown", never "ok".
//
//	doctor.go      all checks, in their order; finding.go: what one reports
//	config.go      the configuration, and its header rules
//	units.go       systemd's units; filter.go: whose packets their sockets drop
//	sockets.go     the sockets and the daemon
//	tailscaled.go  tailscaled, and the listener as a peer finds it
//	access.go      who may come in; what tailscaled serves on our port
//	dns.go         MagicDNS, and what is in use between this host and the upstream
//	upstream.go    the upstream, step by step, on connections of the daemon's (attempt.go)
//	certificate.go a certificate that is not trusted
//	families.go    name servers that do not respond, and a dead IPv4 or IPv6
//	peer.go        --peer: the tailnet's packet filter and the access rules, for one node
//	gateway.go     --through: a probe through a gateway; gatewayfindings.go: what became of it
//	paste.go       what to paste into a gateway and into Claude Code
//
// The running daemon is asked over its admin socket, tailscaled over its own. Without either the
// other checks are made.
package doctor
