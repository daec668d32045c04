// Package daemon puts the other packages together into one process and is the
// only one that knows them.
//
// An event goes one way: a source (signals.go, tailnet.go, reload.go, drain.go)
// sends it, the loop (loop.go) steps the state machine of package lifecycle with
// it, and does what that asks for (actions.go). Only the loop writes the state,
// talks to systemd and pings the watchdog. What others may read of it at any time
// is in view.go.
//
//	daemon.go    Options, Run: from start to exit code
//	listen.go    the sockets: systemd's, or one of our own
//	settings.go  the configuration in the words of package proxy
//	health.go    GET /health
//	metrics.go   GET /metrics and the daemon's own metrics
//	textfile.go  the same for node_exporter
//	farewell.go  what the process before this one left word of
//	admin.go     the admin socket; client.go talks to it
//	report.go    what "oauth-proxyd status" shows
//	trial.go     requests of "oauth-proxyd doctor" through a gateway; answered by
//	             trialanswer.go
//	flights.go   the requests that it tells of
//	handover.go  the process that takes over from this one, or that this one takes over from
//	predecessors.go  those that still finish what they have
//	watchdog.go  are we still answering
package daemon
