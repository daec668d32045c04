// Package admin is the admin socket: a Unix socket on which commands ask the running daemon for its
// status, a reload or an upgrade. It has the client, the server, and the types that they exchange
// as JSON. It does not know how the daemon does what it is asked.
//
// The daemon passes a function for each command:
//
//	server, err := admin.Serve(admin.Socket(), false, admin.Commands{Status: d.report, …}, log)
//	err = server.Publish()
//	…
//	server.Close()
//	server.Remove()
//
// "oauth-proxyd status", the other commands and package doctor are clients:
//
//	s, err := admin.NewClient().Status(ctx)
//	if down, ok := errors.AsType[*admin.NotRunningError](err); ok {
//		return systemdKnowsWhy(down)
//	}
//
// os.ErrPermission means that this user is neither root nor in the group of the socket.
//
// client.go and server.go are the two ends; status.go and probe.go have the types. The --json
// option of the commands prints them, with an empty list for a nil one, so that their JSON names
// are a contract.
//
// Only this socket takes commands, and only it shows names, addresses and the login URL of the
// node. The mode of the socket, 0660, and its directory decide who may use it. In a hand-over the
// new process replaces the socket in one step, so that there is always one.
package admin
