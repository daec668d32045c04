package daemontest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pace is the pause of a client between two requests. It is short enough that requests meet every
// moment of a restart, and long enough that the machine is not the limit.
const pace = 4 * time.Millisecond

// Load keeps sending requests, on new and on kept connections. It retries none: a request without a
// response is lost.
type Load struct {
	t      *testing.T
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	served chan struct{} // an element for each response, while More waits

	mu   sync.Mutex
	done []sent
}

// sent is a request that has ended.
type sent struct {
	how string
	Span
	err error
}

// Span is a period of time.
type Span struct{ Begin, End time.Time }

func (s Span) overlaps(other Span) bool { return s.Begin.Before(other.End) && s.End.After(other.Begin) }

// NewLoad starts a load, which ends with WantNoneLost or with the test.
func NewLoad(t *testing.T, to Target, requests ...Request) *Load {
	t.Helper()
	l := &Load{t: t, served: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for _, r := range requests {
		for _, c := range []*loadClient{{to: to, closing: true}, {to: to}} {
			l.work.Go(func() { l.repeat(c, r) })
		}
	}
	t.Cleanup(l.end)
	return l
}

func (l *Load) end() {
	l.cancel()
	l.work.Wait()
}

func (l *Load) repeat(c *loadClient, r Request) {
	defer c.close()
	how := fmt.Sprintf("%s %s, closing the connection: %t", r.Method, r.Path, c.closing)
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-l.ctx.Done():
			return
		}
		begin := time.Now()
		err := c.send(r)
		l.mu.Lock()
		l.done = append(l.done, sent{how, Span{begin, time.Now()}, err})
		l.mu.Unlock()
		if err == nil {
			select {
			case l.served <- struct{}{}:
			default:
			}
		}
	}
}

// More waits for that many responses.
func (l *Load) More(n int) {
	l.t.Helper()
	late := time.After(Patience)
	for range n {
		select {
		case <-l.served:
		case <-late:
			l.t.Fatal("the load gets no responses")
		}
	}
}

// WantNoneLost ends the load and fails the test for each request that was lost, except those in
// flight while the process was killed.
func (l *Load) WantNoneLost(kills ...Span) {
	l.t.Helper()
	l.end()
	lost, excused := 0, 0
	for _, s := range l.done {
		switch {
		case s.err == nil:
		case slices.ContainsFunc(kills, s.overlaps):
			excused++
		default:
			if lost++; lost <= 10 {
				l.t.Errorf("lost on %s after %v: %v", s.how, s.End.Sub(s.Begin), s.err)
			}
		}
	}
	l.t.Logf("%d of %d requests lost, %d were in flight while the process was killed", lost, len(l.done), excused)
}

// Request is a request of a client with a subscription. Ends is how its response must end.
type Request struct{ Method, Path, Body, Ends string }

// Target says where a program listens, and how to connect to it.
type Target struct {
	Address string
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// Send sends one request on its own connection, without a retry.
func (to Target) Send(r Request) error { return (&loadClient{to: to, closing: true}).send(r) }

// loadClient keeps its connection as long as the server does. Unlike net/http's client, it does not
// retry.
type loadClient struct {
	to      Target
	closing bool // asks for the end of the connection after each response
	conn    net.Conn
	reader  *bufio.Reader
}

func (c *loadClient) close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is in flight
		c.conn = nil
	}
}

func (c *loadClient) send(r Request) error {
	response, err := c.exchange(r) //nolint:bodyclose // exchange does
	if err != nil || c.closing || response.Close {
		c.close()
	}
	return err
}

func (c *loadClient) exchange(r Request) (*http.Response, error) {
	if c.conn != nil && isClosed(c.conn) {
		c.close() // like every client, it looks before it writes
	}
	if c.conn == nil {
		conn, err := c.to.Dial(context.Background(), "tcp", c.to.Address)
		if err != nil {
			return nil, err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	request, err := http.NewRequest(r.Method, "http://x"+r.Path, strings.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+OAuthToken)
	request.Close = c.closing
	_ = c.conn.SetDeadline(time.Now().Add(Patience)) // it fails only on a closed connection
	if err := request.Write(c.conn); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(c.reader, request)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && (response.StatusCode != http.StatusOK || !strings.HasSuffix(string(text), r.Ends)) {
		err = fmt.Errorf("%s %s", response.Status, text)
	}
	return response, err
}

// isClosed reports whether the server has closed its side. A Read would wait for data.
func isClosed(c net.Conn) bool {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN)
	})
	return closed || err != nil
}
