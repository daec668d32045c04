package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"oauth-proxyd/internal/proxy"
)

const wholeAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// deafConn lets net/http hear only so many bytes, and then neither more nor the end.
type deafConn struct {
	*net.TCPConn
	hears  int
	closed chan struct{}
	once   sync.Once
}

func (c *deafConn) Read(p []byte) (int, error) {
	if c.hears <= 0 {
		<-c.closed
		return 0, net.ErrClosed
	}
	n, err := c.TCPConn.Read(p[:min(len(p), c.hears)])
	c.hears -= n
	return n, err
}

func (c *deafConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.TCPConn.Close()
}

// net/http may send a request on a connection of whose end, or of whose further
// bytes, it has not yet heard.
func TestSpentConnectionIsNotUsed(t *testing.T) {
	ends := map[string]func(net.Conn){
		"closed":     func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() },
		"reset":      resetConn,
		"more bytes": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad") },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			var conns atomic.Int64
			up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
				first := conns.Add(1) == 1
				for r, _ := readRequest(in); r != nil; r, _ = readRequest(in) {
					_, _ = io.WriteString(c, wholeAnswer)
					if first {
						end(c)
					}
				}
			})
			d := openDoor(t, up)
			var deaf *deafConn
			proxy.WrapDials(d.Proxy, func(nc net.Conn) net.Conn {
				if deaf != nil {
					return nc
				}
				deaf = &deafConn{TCPConn: nc.(*net.TCPConn), hears: len(wholeAnswer), closed: make(chan struct{})}
				return deaf
			})
			c := newClient(t)
			do(t, c, post(t, d, "one"))
			eventually(t, "the kernel knows", func() bool { return proxy.Readable(deaf) })
			answer, body := do(t, c, post(t, d, "two"))
			if answer.StatusCode != http.StatusOK || body != "ok" || conns.Load() != 2 {
				t.Errorf("status %d, body %s, %d connections", answer.StatusCode, body, conns.Load())
			}
		})
	}
}

// A quiet connection is kept.
func TestQuietConnectionIsUsedAgain(t *testing.T) {
	for _, protocol := range protocols() {
		t.Run(protocol, func(t *testing.T) {
			up, conns := countingUpstream(t, protocol, sayOK)
			d := openDoor(t, up)
			for range 20 {
				do(t, newClient(t), post(t, d, "hello"))
			}
			if n := conns.Load(); n != 1 {
				t.Errorf("%d connections for 20 requests in a row", n)
			}
		})
	}
}

// An answer that comes before its question is another's.
func TestUnaskedAnswerIsRefused(t *testing.T) {
	for name, hint := range map[string]string{"answer": "", "hint": "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			var processed atomic.Int64
			up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
				for r, _ := readRequest(in); r != nil; r, _ = readRequest(in) {
					processed.Add(1)
					_, _ = io.WriteString(c, hint+wholeAnswer)
				}
			})
			d := openDoor(t, up, func(s *setup) { s.Retry.Attempts = 1 })
			proxy.HideBytes(d.Proxy)
			c := d.dial(t)
			c.send(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
			answer, body := c.answer(t, "POST")
			ours(t, answer, body, 502, "upstream_protocol", "http_protocol_error")
			if n := processed.Load(); n != 1 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

// What an upstream sends after an answer must not answer somebody else's request.
func TestAnswersToNobodyReachNobody(t *testing.T) {
	up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		for r, _ := readRequest(in); r != nil; r, _ = readRequest(in) {
			number := "HTTP/1.1 200 OK\r\nX-Number: " + r.Header.Get("X-Number")
			_, _ = io.WriteString(c, number+"\r\nContent-Length: 0\r\n\r\n"+number+" again\r\nContent-Length: 0\r\n\r\n")
		}
	})
	d := openDoor(t, up)
	var work sync.WaitGroup
	for i := range 16 {
		c := newClient(t)
		work.Go(func() {
			for j := range 60 {
				r := post(t, d, "hello")
				number := strconv.Itoa(i*1000 + j)
				r.Header.Set("X-Number", number)
				answer, err := c.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				answer.Body.Close()
				if got := answer.Header.Get("X-Number"); answer.StatusCode == http.StatusOK && got != number {
					t.Errorf("request %s had answer %s", number, got)
				}
			}
		})
	}
	work.Wait()
}
