package inbound

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"

	"oauth-proxyd/internal/kernel"
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

// A connection that gives way ends at once, but a request that has come is read.
func TestGiveWay(t *testing.T) {
	const text = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, sent := range []string{"", text} {
		client, server := tcpPair(t)
		_, _ = io.WriteString(client, sent)
		for kernel.Unread(server) < len(sent) {
			runtime.Gosched()
		}
		c := &Conn{Conn: server}
		if !c.giveWay() {
			t.Error("it is busy")
		}
		p := make([]byte, 4096)
		if n, err := c.Read(p); string(p[:n]) != sent || (err == nil) != (sent != "") {
			t.Errorf("%q, %v; want %q", p[:n], err, sent)
		}
		if sent != "" && (c.giveWay() || !c.begin(&http.Request{ProtoMajor: 1, ProtoMinor: 1})) {
			t.Error("the request is not the last one of the connection")
		}
	}
}
