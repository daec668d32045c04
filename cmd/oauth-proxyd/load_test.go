package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// load sends requests all the time, in every way that clients do, and repeats none:
// what gets no answer is lost.
type load struct {
	addr string
	quit chan struct{}
	once sync.Once
	work sync.WaitGroup

	mu     sync.Mutex
	done   []sent
	served chan struct{} // gets one for each answer, if somebody waits
}

// sent is one request.
type sent struct {
	how        string
	begin, end time.Time
	err        error
}

// pace is the pause of one client between two requests: enough of them to meet
// every moment of a restart, not so many as to measure this machine.
const pace = 4 * time.Millisecond

func newLoad(t *testing.T, addr string) *load {
	t.Helper()
	l := &load{addr: addr, quit: make(chan struct{}), served: make(chan struct{})}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		l.work.Go(func() { l.repeat("new connections, "+method, l.fresh(method), nil) })
		kept := &keptClient{addr: addr}
		l.work.Go(func() { l.repeat("a kept connection, "+method, kept.send(method), kept.close) })
		h2 := newKeptH2Client(t)
		l.work.Go(func() { l.repeat("h2c, "+method, l.through(h2, method), nil) })
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	l.once.Do(func() { close(l.quit) })
	l.work.Wait()
}

func (l *load) repeat(how string, send func() error, finish func()) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-l.quit:
			if finish != nil {
				finish()
			}
			return
		}
		begin := time.Now()
		err := send()
		l.note(sent{how, begin, time.Now(), err})
	}
}

func (l *load) note(s sent) {
	l.mu.Lock()
	l.done = append(l.done, s)
	l.mu.Unlock()
	if s.err == nil {
		select {
		case l.served <- struct{}{}:
		default:
		}
	}
}

// more waits for that many answers.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	late := time.After(patience)
	for range n {
		select {
		case <-l.served:
		case <-late:
			t.Fatal("the load gets no answers")
		}
	}
}

func (l *load) wantNoneLost(t *testing.T) {
	t.Helper()
	l.wantNoneLostBut(t, func(sent) bool { return false })
}

// wantNoneLostBut ends the load and counts, apart from what is excused.
func (l *load) wantNoneLostBut(t *testing.T, excused func(sent) bool) {
	t.Helper()
	l.end()
	lost := 0
	for _, s := range l.done {
		if s.err == nil || excused(s) {
			continue
		}
		if lost++; lost <= 10 {
			t.Errorf("lost on %s after %v: %v", s.how, s.end.Sub(s.begin), s.err)
		}
	}
	t.Logf("%d of %d requests lost", lost, len(l.done))
}

// fresh uses a connection for each request.
func (l *load) fresh(method string) func() error {
	return func() error {
		c := &keptClient{addr: l.addr, closing: true}
		defer c.close()
		return c.send(method)()
	}
}

func (l *load) through(c *keptH2Client, method string) func() error {
	return func() error {
		c.look()
		a, err := ask(c.client, method, "http://"+l.addr+"/echo", body(method))
		return errors.Join(err, a.check(method))
	}
}

func body(method string) string {
	if method == http.MethodGet {
		return ""
	}
	return strings.Repeat("x", 1000)
}

func (a answer) check(method string) error {
	if a.status != 200 || !strings.HasPrefix(a.body, method) || !strings.Contains(a.body, body(method)) {
		return fmt.Errorf("%d %s", a.status, a.body)
	}
	return nil
}

// keptClient keeps its connection as long as the server wants it to. It knows no
// second attempt.
type keptClient struct {
	addr    string
	closing bool // asks for the end after each answer
	conn    net.Conn
	reader  *bufio.Reader
}

func (c *keptClient) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *keptClient) send(method string) func() error {
	text := body(method)
	head := fmt.Sprintf("%s /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n", method, len(text))
	if c.closing {
		head += "Connection: close\r\n"
	}
	return func() error {
		err := c.exchange(head+"\r\n"+text, method)
		if err != nil {
			c.close()
		}
		return err
	}
}

func (c *keptClient) exchange(request, method string) error {
	if c.conn != nil && isClosed(c.conn) {
		c.close() // every client looks before it writes
	}
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.addr, patience)
		if err != nil {
			return err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience)) // of a TCP connection that is open
	if _, err := io.WriteString(c.conn, request); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(response.Body)
	if response.Close {
		c.close()
	}
	return errors.Join(err, answer{status: response.StatusCode, body: string(text)}.check(method))
}

// keptH2Client is the same over HTTP/2.
type keptH2Client struct {
	client *http.Client
	conn   atomic.Pointer[net.TCPConn] // the latest; dialled in a goroutine of the transport
}

func newKeptH2Client(t *testing.T) *keptH2Client {
	t.Helper()
	c := &keptH2Client{client: newH2CClient(t)}
	c.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok {
			c.conn.Store(tcp)
		}
		return conn, err
	}
	return c
}

// look has the transport leave a connection that the server has closed: it may not
// have noticed yet.
func (c *keptH2Client) look() {
	if conn := c.conn.Load(); conn != nil && isClosed(conn) {
		c.client.CloseIdleConnections()
	}
}

// isClosed reports whether the server has closed its side.
func isClosed(c net.Conn) bool {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) { // Read would wait for somebody else's
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN)
	})
	return closed || err != nil
}

// dial opens one connection to the socket.
func (p *socket) dial(t *testing.T) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &rawClient{reader: bufio.NewReader(conn), conn: conn}
}
