package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oauth-proxyd/internal/access"
)

// leaver is a request of a client that goes away when told to.
type leaver struct {
	leave context.CancelFunc
	done  chan struct{}
	body  *io.PipeWriter
}

// begin sends a POST, with a body that does not end if open is set, and reads what comes of the
// response.
func (d *door) begin(t *testing.T, open bool) *leaver {
	ctx, cancel := context.WithCancel(t.Context())
	l := &leaver{leave: cancel, done: make(chan struct{})}
	var body io.Reader = strings.NewReader("hello")
	if open {
		var r *io.PipeReader
		r, l.body = io.Pipe()
		body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(body, r), r}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url("/v1/messages"), body)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t)
	go func() {
		defer close(l.done)
		if response, err := c.Do(r); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	}()
	t.Cleanup(func() {
		cancel()
		if l.body != nil {
			l.body.Close()
		}
		<-l.done
	})
	return l
}

// wantGone waits until the proxy noticed, and looks at what it wrote down.
func (d *door) wantGone(t *testing.T, phase string) {
	t.Helper()
	eventually(t, "the slot is free", func() bool {
		s := d.Stats()
		return s.InFlight == 0 && s.Queued == 0
	})
	eventually(t, "the request is counted", func() bool {
		return metric(t, d.reg, `proxy_client_gone_total{phase="`+phase+`"}`) == 1
	})
	if n := metric(t, d.reg, `proxy_requests_total{method="POST",status="499"}`); n != 1 {
		t.Errorf("%v requests with 499 counted", n)
	}
	eventually(t, "it is in the log", func() bool { return strings.Contains(d.log.String(), `"outcome":"client_gone"`) })
}

// forEachBody runs a test with a client that has sent its body, and with one that is still sending
// it.
func forEachBody(t *testing.T, test func(t *testing.T, open bool)) {
	t.Run("whole body", func(t *testing.T) { test(t, false) })
	t.Run("body under way", func(t *testing.T) { test(t, true) })
}

func TestClientLeavesWhileItDials(t *testing.T) {
	forEachBody(t, func(t *testing.T, open bool) {
		dialled := make(chan struct{}, 10)
		up := listenScript(t, nil, nil, func(c net.Conn) { dialled <- struct{}{}; _, _ = io.Copy(io.Discard, c) })
		up.url.Scheme = "https" // and never responses the handshake
		d := openDoor(t, up)
		l := d.begin(t, open)
		receive(t, dialled, "a dial")
		l.leave()
		d.wantGone(t, "connecting")
	})
}

func TestClientLeavesTheQueue(t *testing.T) {
	forEachBody(t, func(t *testing.T, open bool) {
		release := make(chan struct{})
		arrived := make(chan struct{}, 10)
		up := newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-release })
		d := openDoor(t, up, func(s *setup) { s.Proxy.MaxConnections = 1; s.Proxy.QueueTimeout = time.Minute })
		first := d.begin(t, false)
		receive(t, arrived, "the first request")
		second := d.begin(t, open)
		eventually(t, "the second waits", func() bool { return d.Stats().Queued == 1 })
		second.leave()
		eventually(t, "it has left the queue", func() bool { return d.Stats().Queued == 0 })
		close(release)
		<-first.done
		d.wantGone(t, "queued")
		select {
		case <-arrived:
			t.Error("the request of a client that left was sent")
		default:
		}
	})
}

// A client leaves while its body is unread, so no read can notice that. It must neither keep its
// turn nor get a slot.
func TestClientWithUnreadBodyLeavesTheQueue(t *testing.T) {
	const size = 1<<20 + 1000 // a little more than is read, which fits into the kernel's buffer
	for name, text := range map[string]string{
		"Expect":              "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
		"Expect with a body":  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
		"more than is read":   fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", size) + strings.Repeat("x", size),
		"chunks, more is due": "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + strings.Repeat("x", size),
	} {
		t.Run(name, func(t *testing.T) {
			arrived, ends := make(chan string, 10), make(chan struct{})
			up := newUpstream(t, "http1", func(_ http.ResponseWriter, r *http.Request) { arrived <- r.Method; <-ends })
			release := sync.OnceFunc(func() { close(ends) })
			defer release()
			d := openDoor(t, up, func(s *setup) { s.Proxy.MaxConnections = 1; s.Proxy.QueueTimeout = time.Minute })
			first := d.dial(t)
			first.send(t, smuggled)
			receive(t, arrived, "the first request")
			second := d.dial(t)
			second.send(t, text)
			eventually(t, "the second waits", func() bool { return d.Stats().Queued == 1 })
			third := d.dial(t)
			third.send(t, text)
			eventually(t, "the third waits", func() bool { return d.Stats().Queued == 2 })
			second.Close()
			eventually(t, "the second has left the queue", func() bool { return d.Stats().Queued == 1 })
			third.Close() // just before it gets the slot
			release()
			first.response(t, http.MethodGet)
			counts(t, d, `proxy_client_gone_total{phase="queued"}`, 2)
			if len(arrived) > 0 {
				t.Error("the request of a client that left was sent")
			}
		})
	}
}

// The slot of a client that leaves is free soon, even if the upstream takes nothing of its body.
func TestLeavingFreesTheSlotOfBlockedUpload(t *testing.T) {
	const size = 64 << 20 // more than the kernel takes for the upstream
	arrived := make(chan struct{}, 10)
	up := scriptedUpstream(t, func(_ net.Conn, in *bufio.Reader) {
		_, _ = in.ReadString('\n')
		arrived <- struct{}{}
		<-t.Context().Done()
	})
	d := openDoor(t, up)
	c := d.dial(t)
	c.send(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size))
	receive(t, arrived, "the request")
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	if n, err := c.Write(make([]byte, size)); err == nil {
		t.Fatalf("all %d bytes were taken", n)
	}
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
	d.wantGone(t, "sending")
}

func TestClientLeavesBeforeHeader(t *testing.T) {
	forEachBody(t, func(t *testing.T, open bool) {
		arrived, cancelled := make(chan struct{}, 10), make(chan struct{}, 10)
		wait := func(_ http.ResponseWriter, r *http.Request) {
			go func() { _, _ = io.Copy(io.Discard, r.Body) }()
			arrived <- struct{}{}
			<-r.Context().Done()
			cancelled <- struct{}{}
		}
		up := newUpstream(t, "http2", wait)
		d := openDoor(t, up)
		l := d.begin(t, open)
		receive(t, arrived, "the request")
		phase := map[bool]string{true: "sending", false: "waiting"}[open]
		eventually(t, "it is "+phase, func() bool { return d.InFlight()[0].Phase() == phase })
		l.leave()
		receive(t, cancelled, "the end of the request at the upstream")
		d.wantGone(t, phase)
	})
}

// Before a request has a slot, tailscaled may have to name its sender.
func TestClientLeavesDuringWhoIs(t *testing.T) {
	asks := make(chan struct{})
	d := openDoor(t, refusedUpstream(t), between(peerAddr, hostAddr), func(s *setup) {
		s.whoIs = func(ctx context.Context, _ netip.AddrPort) (access.Identity, bool, error) {
			close(asks)
			<-ctx.Done()
			return access.Identity{}, false, ctx.Err()
		}
	})
	c := d.dial(t)
	c.send(t, smuggled)
	receive(t, asks, "the question")
	c.Close()
	counts(t, d, `proxy_client_gone_total{phase="reading"}`, 1)
	if line := d.log.requests(t, 1)[0]; !strings.Contains(line, `"status":499`) || !strings.Contains(line, `"phase":"reading"`) {
		t.Errorf("logged as %s", line)
	}
}

// An upstream over HTTP/1.1 that takes nothing of the body.
func TestClientLeavesDuringBlockedUpload(t *testing.T) {
	arrived, ended := make(chan struct{}, 10), make(chan struct{}, 10)
	up := scriptedUpstream(t, func(_ net.Conn, in *bufio.Reader) {
		_, _ = in.ReadString('\n')
		arrived <- struct{}{}
		<-t.Context().Done()
	})
	d := openDoor(t, up)
	c := d.dial(t)
	c.send(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 1_000_000))
	receive(t, arrived, "the request")
	eventually(t, "the kernel has the body", func() bool { return d.InFlight()[0].Phase() == "waiting" })
	c.Close()
	d.wantGone(t, "waiting")
	close(ended)
}

func TestClientLeavesTheStream(t *testing.T) {
	forEachBody(t, func(t *testing.T, open bool) {
		forEachProtocolQuiet(t, func(t *testing.T, upstreamProtocol string) {
			streaming, cancelled := make(chan struct{}, 10), make(chan struct{}, 10)
			up := newUpstream(t, upstreamProtocol, func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				_ = rc.EnableFullDuplex()
				_, _ = io.ReadFull(r.Body, make([]byte, 5))
				_, _ = io.WriteString(w, "data: x\n\n")
				_ = rc.Flush()
				streaming <- struct{}{}
				if !open {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				for r.Context().Err() == nil { // HTTP/1.1 learns of it by writing only, while there is more body
					if _, err := io.WriteString(w, "data: x\n\n"); err != nil || rc.Flush() != nil {
						break
					}
				}
				cancelled <- struct{}{}
			})
			d := openDoor(t, up)
			l := d.begin(t, open)
			receive(t, streaming, "the stream")
			eventually(t, "the stream passes", func() bool { return d.Stats().InFlight == 1 })
			l.leave()
			receive(t, cancelled, "the end of the request at the upstream")
			d.wantGoneAnywhere(t)
		})
	})
}

// A client may leave as soon as it has the whole body, before the upstream has ended the response.
func TestClientLeavesWithTheWholeResponse(t *testing.T) {
	cancelled := make(chan struct{}, 1)
	d := openDoor(t, newUpstream(t, "http2", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, "ok")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		cancelled <- struct{}{}
	}))
	c := d.dial(t)
	c.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if response, body := c.response(t, http.MethodGet); response.StatusCode != http.StatusOK || body != "ok" {
		t.Fatalf("status %d, body %q", response.StatusCode, body)
	}
	_ = c.Close()
	receive(t, cancelled, "the end of the request at the upstream")
	eventually(t, "it is in the log", func() bool { return strings.Contains(d.log.String(), `"outcome":"ok"`) })
	if n := metric(t, d.reg, `proxy_requests_total{method="GET",status="200"}`); n != 1 {
		t.Errorf("%v requests with 200 counted: %s", n, d.log.String())
	}
}

func forEachProtocolQuiet(t *testing.T, test func(*testing.T, string)) {
	for _, protocol := range protocols() {
		t.Run("upstream "+protocol, func(t *testing.T) { test(t, protocol) })
	}
}

// wantGoneAnywhere is for a client that leaves just when a phase ends.
func (d *door) wantGoneAnywhere(t *testing.T) {
	t.Helper()
	eventually(t, "the request is counted", func() bool {
		return metric(t, d.reg, `proxy_requests_total{method="POST",status="499"}`) == 1
	})
}

// After the first byte of another request, net/http reads nothing more, so that only a write shows
// that the client is gone.
func TestClientLeavesAfterPipelining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := make(chan struct{})
		b := openBubble(t, "http", nil, func(c net.Conn) {
			in := bufio.NewReader(c)
			_, _ = readRequest(in)
			<-left
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			_, _ = in.ReadByte() // until the proxy closes the connection
		})
		c := b.door.dial()
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		synctest.Wait()
		_, _ = io.WriteString(c, "G") // which net/http has read then
		_ = c.Close()
		close(left)
		synctest.Wait()
		if n := b.Stats().InFlight; n > 0 {
			t.Errorf("%d requests are in flight", n)
		}
	})
}
