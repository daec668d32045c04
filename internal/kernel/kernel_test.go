package kernel

import (
	"crypto/rand"
	"io"
	"net"
	"testing"
	"time"
)

// tcpPair returns both ends of a connection.
func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

func TestUnsent(t *testing.T) {
	c, peer := tcpPair(t)
	_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	n, _ := io.Copy(c, io.LimitReader(rand.Reader, 64<<20)) // as much as there is room for
	if Unsent(c) <= 0 {
		t.Errorf("%d bytes unsent of %d", Unsent(c), n)
	}
	if _, err := io.CopyN(io.Discard, peer, n); err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(10 * time.Second); Unsent(c) > 0; {
		if time.Now().After(late) {
			t.Fatalf("%d bytes are still unsent", Unsent(c))
		}
	}
	c.Close()
	if left := Unsent(c); left >= 0 {
		t.Errorf("%d bytes of a closed connection", left)
	}
}
