package systemd

import "os"

// SocketUnit names the socket unit whose socket this process should have been passed under the name "proxy", and was
// not. It is empty if the socket is among passed, or if nobody said that there is one: the service unit says so with
// OAUTH_PROXYD_SOCKET_UNIT in its environment. A unit that lacks it may be meant to run without sockets.
//
// The variable stays in the environment only while the socket is missing, so that a process that takes over knows it
// too: for that one, nothing is passed.
func SocketUnit(passed []Listener) string {
	for _, l := range passed {
		if l.Name == defaultName {
			_ = os.Unsetenv("OAUTH_PROXYD_SOCKET_UNIT") // cannot fail on Linux
		}
	}
	return os.Getenv("OAUTH_PROXYD_SOCKET_UNIT")
}
