package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	firstSocket = 3    // SD_LISTEN_FDS_START of sd_listen_fds(3)
	maxSockets  = 4096 // far beyond any real unit: a wrong LISTEN_FDS ends here
	defaultName = "proxy"

	socketUnitVariable = "OAUTH_PROXYD_SOCKET_UNIT"
)

// Listener is a listening stream socket with the name it was passed under: FileDescriptorName= of
// the socket unit, see systemd.socket(5). Those of several ListenStream= lines have the same name.
type Listener struct {
	Name string
	net.Listener
}

// Inheritance is what this process was started with.
type Inheritance struct {
	Listeners []Listener // in the order in which they were passed; may be empty
	// MissingUnit names the socket unit of the listener "proxy" if that was not passed. The service
	// unit names it in its environment, OAUTH_PROXYD_SOCKET_UNIT. A unit that does not may be meant
	// to run without sockets, and then MissingUnit is empty.
	MissingUnit string
	// Predecessor is the process that started this one to take over its listeners; nil: systemd
	// started it.
	Predecessor *Predecessor
}

// Inherit takes over the sockets that systemd passed, see sd_listen_fds(3), or those of the
// predecessor. It removes their variables from the environment, and so can be called only once. No
// socket at all is allowed.
//
// A socket without a name gets the name "proxy". Several of them are an error, because nothing
// tells them apart. So is a descriptor that is not a listening TCP or Unix stream socket; the error
// names each of them.
func Inherit() (i Inheritance, err error) {
	defer forgetSockets()
	var names []string
	text, handedOver := os.LookupEnv(handoverVariable)
	if handedOver {
		names = strings.Split(text, ":")
		i.Predecessor, err = predecessorAt(firstSocket + len(names))
	} else {
		names, err = passedNames()
	}
	if err == nil {
		i.Listeners, err = listenersOf(names)
	}
	// The variable stays only while the socket is missing, so that a successor knows it too.
	if !handedOver && slices.ContainsFunc(i.Listeners, func(l Listener) bool { return l.Name == defaultName }) {
		_ = os.Unsetenv(socketUnitVariable) // cannot fail on Linux
	}
	i.MissingUnit = os.Getenv(socketUnitVariable)
	return i, err
}

func forgetSockets() {
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID", handoverVariable} {
		_ = os.Unsetenv(name) // cannot fail on Linux
	}
}

// listenersOf makes listeners of the descriptors from firstSocket on, which have these names. An
// error names each one that cannot be a listener.
func listenersOf(names []string) ([]Listener, error) {
	if err := nameSockets(names); err != nil {
		return nil, err
	}
	var errs []error
	for i, name := range names {
		errs = append(errs, check(firstSocket+i, name))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	listeners := make([]Listener, 0, len(names))
	for i, name := range names {
		l, err := listen(firstSocket+i, name)
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, Listener{name, l})
	}
	return listeners, nil
}

// passedNames returns the names of the sockets in the variables of sd_listen_fds(3), "" for one
// without a name. If LISTEN_PID is another process, they are not for this one: its parent got the
// sockets and left the variables in the environment.
func passedNames() ([]string, error) {
	count := os.Getenv("LISTEN_FDS")
	if count == "" || os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxSockets {
		return nil, fmt.Errorf("reading the sockets of systemd: LISTEN_FDS is %q, not a number of sockets", count)
	}
	names := make([]string, n)
	copy(names, strings.Split(os.Getenv("LISTEN_FDNAMES"), ":"))
	return names, nil
}

// nameSockets names the one socket without a name "proxy". systemd passes a socket whose unit has
// no FileDescriptorName= under the name of the unit, see systemd.socket(5).
func nameSockets(names []string) error {
	nameless := 0
	for i, name := range names {
		if name == "" || name == "unknown" || len(names) == 1 && strings.HasSuffix(name, ".socket") {
			names[i] = defaultName
			nameless++
		}
	}
	if nameless > 1 {
		return fmt.Errorf("naming the sockets of systemd: %d of %d have no name, at most one may: "+
			"set FileDescriptorName= in their socket units", nameless, len(names))
	}
	return nil
}

// check asks the kernel what the descriptor is. It does not wrap it in an os.File, because the
// descriptor may belong to the Go runtime, and closing that would end the process.
func check(fd int, name string) error {
	listens, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	kind, _ := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE) // every socket has one
	switch {
	case err != nil:
		return refuse(fd, name, "it is not a socket: "+err.Error())
	case listens == 0 || kind != syscall.SOCK_STREAM:
		return refuse(fd, name, "it is not a listening stream socket: use ListenStream= and Accept=no in its socket unit")
	}
	return nil
}

func refuse(fd int, name, why string) error {
	return fmt.Errorf("taking over socket %q (descriptor %d): %s", name, fd, why)
}

// listen returns a listener on a close-on-exec duplicate of the descriptor, and closes the one that
// was passed. Closing the listener does not remove the file of a Unix socket, which belongs to the
// socket unit.
func listen(fd int, name string) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, refuse(fd, name, err.Error())
	}
	return l, nil
}
