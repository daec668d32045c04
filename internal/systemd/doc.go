// Package systemd is the daemon's side of its talk with the service manager: the sockets passed in
// and handed over, the states it reports, and the watchdog.
//
// [Inherit] takes over the sockets of the socket units, sd_listen_fds(3), under the names that
// FileDescriptorName= gave them, or those of the process that this one succeeds. [NewNotifier]
// takes over NOTIFY_SOCKET, sd_notify(3). Both remove what they read from the environment, so that
// a child process neither takes the sockets for its own nor speaks in the daemon's name. Call each
// once, at the start, before other goroutines use the environment. Without systemd nothing fails:
// there are no sockets, a [Notifier] that does nothing, and no watchdog.
//
// [ShowUnits] and [ShowService] ask the manager in turn: what is wrong with a unit, and would it
// follow if this process handed over to another one?
//
// [StartSuccessor] starts a process of a new program on the same listeners. The two talk over a
// socket pair, of which each end sees when the other is gone. The new process is not a child of the
// old one but its sibling: both have the same parent, the service manager. That is how systemd
// supervises a successor like any other main process. It notices at once when the process ends, and
// a stop waits for its drain. Listeners are passed under a variable of our own: LISTEN_PID names
// the process that they are for, and nobody knows that before it exists.
//
// Descriptors are taken over by code of our own rather than by go-systemd's activation package,
// which wraps whatever LISTEN_FDS counts: a count too high by one then names the Go runtime's own
// epoll descriptor, and closing that ends the process without a word. Messages are sent by code of
// our own because the library's sender waits without limit when the manager does not read.
package systemd
