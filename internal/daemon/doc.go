// Package daemon is the running process. It starts the other packages, and its event loop decides
// what follows from what they report.
//
// The commands "serve" and "demo" run it:
//
//	os.Exit(daemon.Run(daemon.Options{
//		Load:         func() (*config.Config, error) { return config.Load(path) },
//		CheckCommand: "oauth-proxyd check --config " + path,
//		Version:      version,
//		AdminSocket:  admin.Socket(),
//		StateDir:     stateDir,
//	}))
//
// # Events
//
// A goroutine that has news gives the loop a function (loop.go), which records the news and raises
// an event. The loop passes the event to the state machine of package lifecycle, and performs the
// actions that it returns (actions.go). An action that takes time starts a goroutine, which ends
// with more news. Only the loop writes state, notifies systemd and pings the watchdog, and nothing
// that it calls waits for a peer.
//
// All other goroutines read the view (view.go). The loop publishes a new one with each change, so
// that a reader sees a consistent state without a lock.
//
// # Files
//
//	daemon.go       the parts, and their start and end
//	sockets.go      the sockets that systemd passed, or the one that this process opens
//	reload.go       the configuration, at the start and later
//	tailnet.go      what tailscaled reports, and what the proxy asks about it
//	role.go         what each of the two processes in a hand-over has
//	handover.go     the predecessor in a hand-over; takeover.go: the successor
//	watchdog.go     does our own listener respond?
//	naming.go       how people and nodes are named (log.identity)
//	handler.go      which requests end here; health.go: GET /health
//	metrics.go      the metrics that are not about requests; exposition.go serves them,
//	                textfile.go writes them for node_exporter
//	faults.go       what is wrong, in one list
//	statusline.go   the line in systemctl status
//	status.go       "oauth-proxyd status"; commands.go: the other commands of package admin
//	probe.go        the requests of "oauth-proxyd doctor" through a gateway
//
// # A hand-over
//
// From SIGUSR2 to the end of the predecessor (P), with the events of its state machine. The process
// that takes over from it is the successor (S).
//
//  1. P: [lifecycle.UpgradeRequested], from a signal (loop.go) or "oauth-proxyd upgrade"
//     (commands.go). The state machine returns StartSuccessor as soon as no reload is under way.
//  2. P: startSuccessor (handover.go) asks systemd whether it would follow, and starts the program
//     of the unit with our listeners. Package systemd has the process and the channel.
//  3. S: newDaemon (daemon.go) inherits the listeners and the channel. The process goes through its
//     own start, but sends systemd nothing and accepts no connection. Once it is Running, it joins
//     the predecessor (takeover.go), and writes Done when it has run for two more seconds.
//  4. P: [lifecycle.SuccessorReady]. notifyMainPID sends MAINPID=, waits until systemd reports the
//     new main process, and writes TakeOver with the memory that the successor continues with: the
//     accounts' rate limits.
//  5. S: takeOver (takeover.go) accepts connections, takes the admin socket and the textfile, sends
//     READY=1, and writes Done.
//  6. P: [lifecycle.SuccessorFollowed]. It leaves the admin socket (handOver), stops accepting, and
//     finishes its requests (beginHandover), reporting to the successor each second.
//  7. P: [lifecycle.Drained] or [lifecycle.HandoverTimeout], and it exits.
//  8. S: the channel closes; predecessorEnded (takeover.go) forgets the predecessor.
//
// If anything fails before step 6, [lifecycle.SuccessorFailed] leads to StayInCharge: the
// predecessor is in charge again, and the successor exits. role.go says what each has in each
// step.
package daemon
