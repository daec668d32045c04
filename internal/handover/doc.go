// Package handover lets a process start its successor on the same listeners, so that a
// new program serves before the old one stops to, and no connection is refused or cut.
//
// The process that serves calls [Start], and [Successor.AwaitReady]. Until that says so,
// nothing has changed: both accept connections, and the one who started the other is
// who counts. Then it tells the service manager, and the successor ([Successor.Release]).
//
// The process that was started finds its listeners with [Inherit] and, when it serves,
// calls [Predecessor.AwaitRelease]. From then on the first one only finishes what it has;
// while it does it watches over the second ([Successor.Follow]), so as to serve again if
// that one fails.
//
// Listeners are passed under a variable of our own: LISTEN_PID of sd_listen_fds(3) names
// the process that they are for, and nobody knows that before it exists. The two talk
// over a socket pair, of which each end sees when the other is gone.
package handover
