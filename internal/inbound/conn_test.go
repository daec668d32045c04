package inbound

import (
	"context"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

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

// net/http begins to read from the client before the handler runs.
func TestClientThatLeftBeforeTheHandler(t *testing.T) {
	for name, row := range map[string]struct {
		use  func(c *Conn, client net.Conn)
		gone bool
	}{
		"it left": {func(c *Conn, client net.Conn) {
			_ = client.Close()
			_, _ = c.Read(make([]byte, 1))
		}, true},
		"it takes nothing": {func(c *Conn, client net.Conn) {
			_ = client.Close()
			_, _ = c.Write([]byte("x"))
		}, true},
		"a read was interrupted": {func(c *Conn, _ net.Conn) {
			_ = c.SetReadDeadline(time.Unix(1, 0))
			_, _ = c.Read(make([]byte, 1))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			defer server.Close()
			c := &Conn{Conn: server}
			c.relaying.Store(true)
			row.use(c, client)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			c.CancelWhenGone(cancel)
			if gone := ctx.Err() != nil; gone != row.gone {
				t.Errorf("cancelled: %t, want %t", gone, row.gone)
			}
		})
	}
}

// A connection whose next request has come and is not read yet does not count as idle.
func TestUnreadRequestIsNotClosedAsIdle(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newConnections()
	open := func(ended time.Time, sent string) *Conn {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		served, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { served.Close() })
		_, _ = io.WriteString(client, sent)
		for kernel.Unread(served) < len(sent) {
			runtime.Gosched()
		}
		c := &Conn{Conn: served, scan: scanner{ended: ended}}
		s.move(c, classAdmitted)
		return c
	}
	asking, idle := open(time.Now().Add(-time.Minute), "GET / HTTP/1.1\r\n"), open(time.Now(), "")
	if !s.evictIdle(netip.Addr{}) || idle.class != classNone {
		t.Error("the idle connection is open")
	}
	if s.evictIdle(netip.Addr{}) || asking.class != classAdmitted {
		t.Error("the connection with a request is closed")
	}
}

// Beyond the room for requests that wait, a silent connection of the same address gives way, but
// not before handlers have had the time to judge those that are served.
func TestSilentGiveWayOnlyToRequestsThatWaitLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newConnections()
		arrive := func(n int) (all []*Conn) {
			for range n {
				client, server := net.Pipe()
				t.Cleanup(func() { client.Close(); server.Close() })
				c := &Conn{Conn: server, scan: scanner{ended: time.Now()}}
				s.arrive(c)
				all = append(all, c)
			}
			return all
		}
		served := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.ready)
		}
		arrive(maxStrangers)
		waiting := arrive(sentStrangers + 20)
		time.Sleep(silentTime)
		s.mu.Lock()
		for _, c := range waiting {
			c.requested = time.Now()
		}
		s.mu.Unlock()
		time.Sleep(requestTime - 1)
		synctest.Wait()
		if n := s.stats().StrangersClosed; n > 0 || served() != maxStrangers+sentStrangers {
			t.Errorf("%d were closed at once, %d are served", n, served())
		}
		time.Sleep(burstTime + 1)
		synctest.Wait()
		if n := s.stats().StrangersClosed; n != 20 || served() != maxStrangers+sentStrangers+20 {
			t.Errorf("later %d were closed, %d are served", n, served())
		}
		for _, c := range s.unused() {
			s.leave(c)
		}
		time.Sleep(2 * burstTime)
	})
}
