package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"oauth-proxyd/internal/kernel"
)

// net/http tells only in words that a request was not processed.
func TestRefusedStreamsByTheirWords(t *testing.T) {
	for text, want := range map[string]bool{
		"stream error: stream ID 1; REFUSED_STREAM; received from peer":                   true,
		"stream error: stream ID 1; REFUSED_STREAM":                                       false,
		"stream error: stream ID 1; CANCEL; received from peer":                           false,
		"http2: Transport received Server's graceful shutdown GOAWAY":                     true,
		"http2: Transport received GOAWAY from server ErrCode:ENHANCE_YOUR_CALM":          true,
		"http2: client conn not usable":                                                   true,
		"http2: client conn could not be established":                                     true,
		"http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO": false,
		"http2: client connection lost":                                                   false,
		"unexpected EOF":                                                                  false,
	} {
		if got := refusedStream(errors.New(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// poolTo leads to a listener that each connection of which script serves.
func poolTo(t *testing.T, script func(net.Conn)) *Pool {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			script(c)
		}
	}()
	p, err := New(Config{
		UpstreamURL: &url.URL{Scheme: "http", Host: l.Addr().String()}, ConnectTimeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// A request that has ended takes no connection, though one has a free slot.
func TestConnectionForARequestThatLeft(t *testing.T) {
	p := poolTo(t, func(c net.Conn) { t.Cleanup(func() { c.Close() }) })
	ctx, leave := context.WithCancel(t.Context())
	c, err := p.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c.Release()
	leave()
	if _, err := p.Get(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if n := InUse(p); n != 0 {
		t.Error("its slot is not free")
	}
}

// A response must come after its request, over HTTP/1.1.
func TestUnsolicitedResponsesAreSeen(t *testing.T) {
	for _, c := range []struct {
		name                 string
		http2, written, read bool
		want                 bool
	}{
		{"before the request", false, false, true, true},
		{"read before", false, true, false, true},
		{"after", false, true, true, false},
		{"HTTP/2", true, false, false, false},
	} {
		conn := connOver(nil)
		conn.http2 = c.http2
		start := conn.wire.position()
		if c.written {
			conn.wire.out.written.Add(1)
		}
		if c.read {
			conn.wire.socket.received.Add(1)
		}
		if conn.unsolicited(start) != c.want {
			t.Errorf("%s: unsolicited is %v", c.name, !c.want)
		}
	}
}

// A kept connection of HTTP/1.1 is not used again when its peer closed or reset it, or sent what
// nobody asked for, and net/http has yet to learn of it.
func TestStaleConnections(t *testing.T) {
	for name, spend := range map[string]func(net.Conn){
		"closed": func(c net.Conn) { c.Close() },
		"reset": func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		},
		"more bytes": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			client, server := tcpPair(t)
			c := connOver(client)
			c.uses.Add(1)
			c.wire.made = time.Now()
			c.wire.touch()
			if c.stale() {
				t.Error("it counts as stale before")
			}
			spend(server)
			for late := time.Now().Add(time.Minute); !c.stale(); {
				if time.Now().After(late) {
					t.Fatal("it does not count as stale")
				}
			}
			if hungUp := kernel.HungUp(c.wire.tcp); hungUp != (name != "more bytes") {
				t.Errorf("hung up is %v", hungUp)
			}
		})
	}
}

// tcpPair is a connection over loopback.
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
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}
