// Package daemon puts the other packages together into one process: it alone runs
// them, and they know nothing of each other.
//
// An event goes one way: a source (signals.go, tailnet.go, reload.go, handover.go,
// or work that an action began) sends it, the loop (loop.go) steps the state machine
// of package lifecycle with it, and does what that asks for (actions.go). Only the
// loop writes the state, talks to systemd and pings the watchdog. What others may
// read of it at any time is in view.go.
//
//	daemon.go        Options, Run: from start to exit code
//	loop.go          one event at a time; view.go is what others may know of it
//	actions.go       what the state machine asks for
//
// Where events come from, and what follows from them:
//
//	signals.go       HUP, USR2, TERM and INT
//	listen.go        the sockets: systemd's, or one of our own
//	reload.go        the configuration, at the start and anew
//	tailnet.go       what tailscaled says; naming.go: who is
//	                 named, and how (namekey.go: the key of the hashes)
//	handover.go      the process that takes over from this one, or that this one takes over from
//	predecessors.go  those that still finish what they have
//	watchdog.go      are we still answering
//
// What the daemon tells of itself:
//
//	status.go        STATUS= for systemd, and the last words in the log
//	health.go        GET /health, and who answers which path (ownname.go: which Host
//	                 is ours)
//	metrics.go       GET /metrics and the daemon's own metrics
//	exposition.go    who reads them, and how many at once
//	textfile.go      the same for node_exporter
//	commands.go      what package admin has the daemon do
//	report.go        what "oauth-proxyd status" shows
//	probe.go         requests of "oauth-proxyd doctor" through a gateway
package daemon
