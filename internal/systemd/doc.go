// Package systemd talks to the service manager: it takes over sockets, sends notifications, reads
// the watchdog's interval, asks about units, and starts the process of a hand-over.
//
//	i, err := systemd.Inherit()         // LISTEN_FDS, or the listeners of the predecessor
//	n := systemd.NewNotifier()          // NOTIFY_SOCKET
//	every, err := systemd.WatchdogInterval()
//	…
//	err = n.Send("Serving on "+address, "READY=1")
//
// [Inherit] and [NewNotifier] remove their variables from the environment, so that no child process
// uses the sockets or notifies in the daemon's name. Call each once, at the start, before other
// goroutines use the environment. Without systemd nothing fails: there are no sockets, no watchdog,
// and a [Notifier] that does nothing.
//
//	listeners.go    the sockets that were passed, under their names
//	notify.go       sd_notify(3)
//	units.go        what systemctl shows of units, and what their sockets admit
//	service.go      the unit of this process: would systemd follow a hand-over? how did it end?
//	sandbox.go      a command that sees the files as the service does
//	handover.go     the other process of a hand-over, and the channel to it
//
// # A hand-over
//
// This package has the mechanics: [StartSuccessor] starts a process with the listeners, and the two
// talk over a socket pair, on which each notices when the other ends. Package daemon decides what
// happens when, and its documentation tells the steps.
//
// The new process is not a child of the old one but its sibling: both have the same parent, the
// service manager. So systemd supervises it like any main process, notices at once when it ends,
// and waits for its drain in a stop. The listeners are named in a variable of our own, because
// LISTEN_PID would have to be known before the process exists.
//
// # Why not go-systemd
//
// Its package activation wraps whatever LISTEN_FDS counts. A count too high by one names the Go
// runtime's epoll descriptor, and closing that ends the process without a message. Its sender of
// notifications waits without limit for a manager that does not read.
package systemd
