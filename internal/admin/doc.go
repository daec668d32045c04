// Package admin is the admin socket of the daemon: a Unix socket on which an administrator asks for
// the status, a reload or an upgrade. It has the types that go over the socket as JSON, the client
// and the server, and knows nothing of how the daemon does what it is asked for.
//
// The daemon serves the commands, each as a function:
//
//	l, err := admin.Listen(admin.Socket(), false)
//	…
//	server := admin.Serve(l, admin.Commands{Status: d.report, Reload: d.reload, …}, log)
//	defer server.Close()
//
// "oauth-proxyd status" and package doctor are its clients:
//
//	s, err := admin.NewClient().Status(ctx)
//	switch {
//	case errors.Is(err, admin.ErrNotRunning): // no daemon
//	case errors.Is(err, os.ErrPermission):    // not the owner or the group of the socket
//	}
//
// The types (status.go, probe.go) are also what the --json option of those commands
// prints: their JSON names are a contract, which the manual lists. A list is never null.
//
// The socket is the only way to command the daemon and the only one on which it tells names,
// addresses and the login URL of a node. Who may use it is decided by its mode, 0660, and by the
// directory it is in: there is no other authorization. A hand-over moves the name to the new
// process without a moment in which there is no socket.
package admin
