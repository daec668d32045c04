// Package handover lets a process start its successor on the same listeners, so that a
// new program serves before the old one stops, and no connection is refused or cut.
//
// The process that serves calls [Start], [Successor.AwaitReady] and [Successor.Try]. Until
// then nothing has changed: both accept connections, but the old process is still in
// charge. It can end the new one ([Successor.End]) and keep running, or tell the service
// manager and hand over ([Successor.Release]). After that it only finishes what it has.
//
// The process that was started finds its listeners with [Inherit] and, when it serves,
// calls [Predecessor.AwaitRelease].
//
// The new process is not a child of the one that started it, but its sibling: both have the
// same parent, the service manager. That is how systemd supervises a successor like any
// other main process. It notices at once when the process ends, and a stop waits for its
// drain.
//
// Listeners are passed under a variable of our own: LISTEN_PID of sd_listen_fds(3) names
// the process that they are for, and nobody knows that before it exists. The two talk
// over a socket pair, of which each end sees when the other is gone.
package handover
