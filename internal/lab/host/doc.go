// Package host boots throw-away hosts of Debian and Ubuntu, so that tests can do to the program
// what its administrators do: install a package, start units, read the journal, upgrade, purge.
//
//	image, err := host.OpenImage(ctx, host.Usual(), os.Stderr) // a minute for the first time
//	h, err := host.Boot(ctx, image, os.Stderr)                 // half a second
//	defer h.Close()
//	out, err := h.Run(ctx, "systemctl", "is-system-running")
//
// The image is made by debootstrap and kept in the user's cache folder, below oauth-proxyd/host;
// removing that folder is safe. A host is an overlay in memory over it, booted by systemd-nspawn: a
// real systemd as the first process, a journal, D-Bus and dpkg. The usual one, Debian 12, also has
// prometheus-node-exporter and rpm. Its kernel is this machine's. Its network has loopback only:
// Dial and Listen reach into it, and a test's own server can stand there for api.anthropic.com.
//
//	release.go  which distributions there are
//	image.go    the file system, made once
//	mirror.go   the mirror it comes from
//	host.go     boots and ends a host
//	child.go    a process that cannot outlive ours
//	notes.go    the supervisor's notification that it is up; leader.go: its first process
//	cgroups.go  the control groups of its units
//	run.go      commands and files in it
//	network.go  sockets in it
//	journal.go  its journal
//
// The tests here install, upgrade, downgrade and remove the packages of the program. "make
// test-host" builds the packages and runs the tests; "make host-shell" boots a host with the
// package installed and opens a shell. Both need root, debootstrap, systemd-nspawn and nsenter; see Supported.
//
// It is a module of its own, so that the daemon's does not depend on what it needs.
package host
