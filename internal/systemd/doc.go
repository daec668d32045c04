// Package systemd is the daemon's side of its talk with the service manager: the sockets it is handed, the states it
// reports, the watchdog it has to feed.
//
// [Listeners] takes over the sockets of the socket units, sd_listen_fds(3), under the names that FileDescriptorName=
// gave them. [NewNotifier] takes over NOTIFY_SOCKET, sd_notify(3). Both remove what they read from the environment, so
// that a child process neither thinks the sockets its own nor speaks in the daemon's name. Call each once, at the
// start, before other goroutines use the environment. [WatchdogInterval] leaves its two variables: WATCHDOG_PID already
// tells a child that they are not for it.
//
// [ShowUnits] and [ShowService] ask the manager in turn: what is wrong with a unit, and would it follow if this process
// handed over to another one?
//
// Without systemd nothing here fails: there are no sockets, a [Notifier] that says nothing, and no watchdog.
//
// Descriptors are taken over by code of our own rather than by go-systemd's activation package, which wraps whatever
// LISTEN_FDS counts. A count too high by one then names the Go runtime's own epoll descriptor, and closing that ends the
// process without a word. Messages are sent by code of our own because the library's sender waits without limit
// when the manager does not read.
package systemd
