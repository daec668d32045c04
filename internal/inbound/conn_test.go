package inbound

import (
	"crypto/rand"
	"io"
	"net"
	"testing"
	"time"
)

// While a body is taken from what net/http has read, its watch for a client that leaves may begin.
func TestReadBuffered(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	c := &Conn{Conn: server}
	c.buffered.Store(true)
	if n, err := c.Read(make([]byte, 4096)); n != 0 || err != nil {
		t.Errorf("the body's read: %d, %v", n, err)
	}
	go func() { _, _ = client.Write([]byte("x")) }()
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("the watch's read: %d, %v", n, err)
	}
}

func TestUnsent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	n, _ := io.Copy(c, io.LimitReader(rand.Reader, 64<<20)) // as much as there is room for
	if (&Conn{Conn: c}).Unsent() <= 0 {
		t.Errorf("%d bytes unsent of %d", (&Conn{Conn: c}).Unsent(), n)
	}
	if _, err := io.CopyN(io.Discard, peer, n); err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(10 * time.Second); (&Conn{Conn: c}).Unsent() > 0; {
		if time.Now().After(late) {
			t.Fatalf("%d bytes are still unsent", (&Conn{Conn: c}).Unsent())
		}
	}
	c.Close()
	if left := (&Conn{Conn: c}).Unsent(); left >= 0 {
		t.Errorf("%d bytes of a closed connection", left)
	}
}
