package upstream_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"

	"oauth-proxyd/internal/upstream"
)

// zeros is a body without an end.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A peer that takes a request slowly says nothing, and cannot respond to a ping that waits behind
// it. It is alive as long as its kernel acknowledges more.
func TestSlowUploadIsNotADeadPath(t *testing.T) {
	t.Parallel()
	begun, take, taken := make(chan struct{}), make(chan struct{}), make(chan struct{})
	o := listenFramed(t, func(f *framed) {
		_ = f.Conn.(*tls.Conn).NetConn().(*net.TCPConn).SetReadBuffer(8 << 10)
		_ = f.WriteWindowUpdate(0, 1<<30)
		f.request()
		close(begun) // from here on it responds to no ping
		for range take {
			_, _ = io.ReadFull(f.Conn, make([]byte, 16<<10)) // more than its kernel keeps
			taken <- struct{}{}
		}
		<-t.Context().Done()
	}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
	pool := o.pool(t)
	c, err := pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		_, err := c.Send(ctx, post(t, zeros{}, -1), nil)
		if err == nil {
			t.Error("there is a response")
		}
	})
	<-begun
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		work.Go(func() {
			defer cancel()
			for range 3 {
				take <- struct{}{}
				<-taken
				for upstream.Unsent(c) < 64<<10 {
					runtime.Gosched() // until more is sent than the kernel of the peer keeps
				}
			}
		})
		if !upstream.PingPeer(ctx, c) {
			t.Error("it is taken for dead while it reads")
		}
	}
	close(take)
	alive := true
	for n := 0; alive && n < 20; n++ {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		alive = upstream.PingPeer(ctx, c)
		cancel()
	}
	if alive {
		t.Error("it is taken for alive although it reads no more")
	}
	cancel()
	work.Wait()
}

// A connection on which nothing came for long is pinged first over HTTP/2, and not used again over
// HTTP/1.1.
func TestConnectionsAfterALongSilence(t *testing.T) {
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			pinged := make(chan struct{}, 10)
			o := listenOn(t, func(c net.Conn) {
				if protocol == "h2" {
					respondsAndTellsOfPings(c, pinged)
					return
				}
				in := bufio.NewReader(c)
				for r := nextRequest(in); r != nil; r = nextRequest(in) {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}, protocol)
			pool := o.pool(t)
			succeeds(t, pool)
			c, err := pool.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			upstream.Age(c, 91*time.Second)
			c.Release()
			succeeds(t, pool)
			if protocol == "h2" {
				receive(t, pinged, "a ping")
			}
			if n, want := o.conns.Load(), map[string]int64{"h2": 1, "http/1.1": 2}[protocol]; n != want {
				t.Errorf("%d connections, want %d", n, want)
			}
		})
	}
}

// respondsAndTellsOfPings serves over HTTP/2.
func respondsAndTellsOfPings(c net.Conn, pinged chan<- struct{}) {
	f := newFramed(c)
	if f == nil {
		return
	}
	_ = f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.PingFrame:
			pinged <- struct{}{}
			_ = f.WritePing(true, frame.Data)
		case *http2.MetaHeadersFrame:
			f.respond(frame.StreamID, "200", "ok")
		}
	}
}

// The kernel gives up what HTTP/1.1 cannot ask about.
func TestKernelGivesUpADeadPath(t *testing.T) {
	o := listenOn(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	c, err := o.pool(t).Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	for _, option := range []struct {
		name                string
		level, option, most int
	}{
		{"TCP_USER_TIMEOUT in ms", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 30_000},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE in s", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 10},
		{"TCP_KEEPINTVL in s", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
	} {
		if got, err := upstream.SocketOption(c, option.level, option.option); err != nil || got <= 0 || got > option.most {
			t.Errorf("%s is %d, %v; want up to %d", option.name, got, err, option.most)
		}
	}
}
