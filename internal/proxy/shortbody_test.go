package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = w.Write(body)
}

// A short body that came with its header is taken before anybody asks for it. With no memory to
// keep it in it must be left for when the upstream takes it.
func TestShortBodyPastTheMemory(t *testing.T) {
	forEachProtocol(t, echo, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up, func(s *setup) { s.Proxy.Retry.Memory = 0 })
		c := d.dial(t)
		for range 2 {
			c.send(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
			if response, body := c.response(t, http.MethodPost); response.StatusCode != http.StatusOK || body != "hello" {
				t.Errorf("status %d, body %q", response.StatusCode, body)
			}
		}
	})
}

// splitListener has the first read of each connection get the next number of bytes, from 1 on.
type splitListener struct {
	net.Listener
	first int
}

func (l *splitListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	l.first++
	return &splitConn{c, l.first}, err
}

type splitConn struct {
	net.Conn
	first int
}

func (c *splitConn) Read(p []byte) (int, error) {
	if c.first > 0 {
		p = p[:min(len(p), c.first)]
		c.first = 0
	}
	return c.Conn.Read(p)
}

// Wherever what comes is split, a short body ends where it says, and what is behind it is the next
// request.
func TestShortBodySplitAtEveryByte(t *testing.T) {
	const first = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	seconds := map[string]string{
		"the same again": "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 6\r\n\r\nsecond",
		"HTTP/1.0":       "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 6\r\n\r\nsecond",
		"chunked":        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecond\r\n0\r\n\r\n",
	}
	forEachProtocol(t, echo, func(t *testing.T, up *mockAPI) {
		for name, second := range seconds {
			t.Run(name, func(t *testing.T) {
				l := &splitListener{Listener: listenTCP(t)}
				d := openDoor(t, up, func(s *setup) { s.listen = func(testing.TB) net.Listener { return l } })
				for n := range len(first + second) {
					c := d.dial(t)
					c.send(t, first+second)
					for _, want := range []string{"hello", "second"} {
						if response, body := c.response(t, http.MethodPost); response.StatusCode != http.StatusOK || body != want {
							t.Fatalf("split after %d bytes: status %d, body %q", n+1, response.StatusCode, body)
						}
					}
					if rest := c.rest(); rest != "" {
						t.Fatalf("split after %d bytes: then came %q", n+1, rest)
					}
				}
			})
		}
	})
}

// The wait for the rest of a short body is the same as for a long one.
func TestShortBodyThatDoesNotCome(t *testing.T) {
	forEachProtocol(t, echo, func(t *testing.T, up *mockAPI) {
		for _, came := range []string{"", "hell"} {
			t.Run(fmt.Sprintf("%d bytes came", len(came)), func(t *testing.T) {
				d := openDoor(t, up, shortIdle)
				c := d.dial(t)
				c.send(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"+came)
				response, body := c.response(t, http.MethodPost)
				if response.StatusCode != http.StatusRequestTimeout || code(body) != "client_idle_timeout" {
					t.Errorf("status %d, body %s", response.StatusCode, body)
				}
				if line := d.log.requests(t, 1)[0]; !strings.Contains(line, fmt.Sprintf(`"bytes_in":%d,`, len(came))) {
					t.Errorf("log: %s", line)
				}
			})
		}
	})
}
