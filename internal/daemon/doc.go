// Package daemon puts the other packages together into one process. They know nothing of each
// other: what one finds out reaches another through the event loop.
//
// The commands "serve" and "demo" are all of its use:
//
//	os.Exit(daemon.Run(daemon.Options{
//		Load:        func() (*config.Config, error) { return config.Load(path) },
//		Version:     version,
//		AdminSocket: admin.Socket(),
//		StateDir:    stateDir,
//	}))
//
// An event goes one way. A source sends it to the loop (loop.go) with a function that records what
// is known of it; the loop calls that function, steps the state machine of package lifecycle with
// the event, and does what that asks for (actions.go). Work that takes time is begun beside the
// loop and ends in another event. Only the loop writes state, talks to systemd and pings the
// watchdog, and nothing that it calls waits for a peer.
//
// What everybody else may know is the view (view.go): the loop publishes a new one with each
// change, so that a reader sees one moment, without a lock.
//
// Each part is a type with fields of its own, which daemon.go puts together:
//
//	sockets.go      the sockets that this process was started with, or opens
//	reload.go       the configuration, at the start and later
//	tailnet.go      what tailscaled reports, and what the proxy asks it
//	handover.go     the process before this one and the one after it
//	watchdog.go     does our own listener respond?
//	naming.go       how people and nodes are named in log and status (log.identity)
//
// What the daemon shows of itself:
//
//	health.go       which requests end here; GET /health
//	metrics.go      the metrics that are not about requests; exposition.go serves them,
//	                textfile.go writes them for node_exporter
//	status.go       the line in systemctl status
//	report.go       "oauth-proxyd status"; commands.go: the other commands of package admin
//	probe.go        the requests of "oauth-proxyd doctor" through a gateway
package daemon
