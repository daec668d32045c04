package upstream_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"oauth-proxyd/internal/upstream"
)

// deafConn lets net/http read once. After that it hears of neither bytes nor the end, as if its
// reader had no turn yet. The kernel knows all the same.
type deafConn struct {
	*net.TCPConn
	deaf   bool
	closed chan struct{}
	close  func()
}

// Read implements net.Conn.
func (c *deafConn) Read(p []byte) (int, error) {
	if c.deaf {
		<-c.closed
		return 0, net.ErrClosed
	}
	c.deaf = true
	return c.TCPConn.Read(p)
}

// Close implements net.Conn.
func (c *deafConn) Close() error {
	c.close()
	return c.TCPConn.Close()
}

// dialsDeaf has all connections of a pool be deaf.
func dialsDeaf(c *upstream.Config) {
	c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		closed := make(chan struct{})
		return &deafConn{TCPConn: nc.(*net.TCPConn), closed: closed, close: sync.OnceFunc(func() { close(closed) })}, nil
	}
}

// net/http may send a request on a connection of whose end, or of whose further bytes, it has not
// heard yet. The request must go elsewhere, as nobody could tell what became of it.
func TestStaleConnectionIsNotUsed(t *testing.T) {
	ends := map[string]func(*net.TCPConn){
		"closed":     func(c *net.TCPConn) { _ = c.CloseWrite() },
		"reset":      func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
		"more bytes": func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad") },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			read, ended := make(chan struct{}), make(chan struct{})
			var first sync.Once
			o := listenOn(t, func(c net.Conn) {
				for r := header(c); r != nil; r = header(c) {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					first.Do(func() {
						<-read
						end(c.(*net.TCPConn))
						close(ended)
					})
				}
			})
			pool := o.pool(t, dialsDeaf)
			succeeds(t, pool)
			close(read)
			receive(t, ended, "the end") // over loopback the kernel knows when the call returns
			succeeds(t, pool)
			if n := o.conns.Load(); n != 2 {
				t.Errorf("%d connections for 2 requests", n)
			}
		})
	}
}
