// Package siege attacks the real binary with hostile clients, in a control group with the limits of
// the service unit, and measures whether the daemon keeps its promises.
//
// An attacker is either refused (not in access.allow) or an admitted person. Beside each attack
// there are bystanders of another address, which is admitted:
//
//   - a client that sends a short POST every 50 ms, on a new connection each time;
//   - one that asks /health likewise;
//   - one that reads a long stream of events;
//   - one that asks the upstream without the daemon, to tell what the machine itself
//     costs.
//
// Each attack gets a new daemon and a new upstream. The bystanders start first. Then the lab
// measures memory, slots and goroutines, runs the attack, and keeps the attacker's connections open
// for a while. The slots must become free with those connections still open. Then the attacker
// leaves, and the lab measures again.
//
// The promises:
//
//	refused   20 MiB more memory, a line of log a minute and source; an admitted client
//	          still gets in within 100 ms
//	admitted  the process stays below 512 MiB; no slot is held beyond its timeout and
//	          2 s; nobody else's stream is cut
//
// Everything runs on loopback. Two things differ from a host: the daemon's timeouts are seconds, so
// that the lab can wait for them, and there is no tailnet.
//
//	unit.go        the limits, read from the unit
//	cgroup.go      the control group; memory.go: what it holds
//	daemon.go      the daemon; lines.go: its log
//	upstream.go    the API, which closes a connection that resets streams too quickly
//	bystanders.go  the clients that must not notice the attack
//	attack.go      the parts of an attack
//	refused.go     the attacks of refused senders
//	admitted.go    those of an admitted person; unread.go: responses that nobody reads
//	second.go      those of slowhttptest
//	siege.go       one attack from beginning to end
//	result.go      its effects, and the verdict; table.go: the table of results
//
// "make siege" runs all and writes the table; "make test-siege" runs all in less time.
package siege
