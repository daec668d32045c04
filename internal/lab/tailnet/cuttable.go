package tailnet

import (
	"net"
	"sync"
)

// cuttable is a listener whose connections can be cut, whatever became of them: those of nodes are
// taken over from net/http, which forgets them then. While it is told to refuse it resets new ones;
// the port stays ours.
type cuttable struct {
	net.Listener
	refuses func() bool

	mu   sync.Mutex
	open map[net.Conn]bool
}

// Accept is net.Listener's.
func (l *cuttable) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.refuses() {
			return l.keep(conn), nil
		}
		reset(conn)
	}
}

func (l *cuttable) keep(conn net.Conn) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := &keptConn{Conn: conn, from: l}
	l.open[kept] = true
	return kept
}

func (l *cuttable) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.open {
		reset(conn.(*keptConn).Conn)
	}
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

// keptConn is on the list of its listener until it is closed.
type keptConn struct {
	net.Conn
	from *cuttable
}

// Close is net.Conn's.
func (c *keptConn) Close() error {
	c.from.mu.Lock()
	delete(c.from.open, c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}
