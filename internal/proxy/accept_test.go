package proxy_test

import (
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// fullTable is a listener whose process has no descriptor left, the first times.
type fullTable struct {
	net.Listener
	left atomic.Int32
}

// Accept implements net.Listener.
func (l *fullTable) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// Nobody could tell from outside why connections wait.
func TestAcceptErrorsAreLogged(t *testing.T) {
	up := newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {})
	d := openDoor(t, up, func(s *setup) {
		s.listen = func(t testing.TB) net.Listener {
			l := &fullTable{Listener: listenTCP(t)}
			l.left.Store(2)
			return l
		}
	})
	if response, _ := do(t, newClient(t), post(t, d, "x")); response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
	told := 0
	for line := range strings.Lines(d.log.String()) {
		if strings.Contains(line, `"level":"WARN"`) && strings.Contains(line, "too many open files") {
			told++
		}
	}
	if told != 1 { // in a minute
		t.Errorf("told %d times instead of once: %s", told, d.log)
	}
}
