package host_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

// load sends requests all the time, in the ways that clients do, and repeats none:
// what gets no answer is lost.
type load struct {
	lab  *lab
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

// load begins; it ends with the test, or with wantNoneLost.
func (l *lab) load() *load {
	l.t.Helper()
	all := &load{lab: l, quit: make(chan struct{}), served: make(chan struct{})}
	for _, r := range []request{listModels(), message("claude", true), message("claude", false)} {
		fresh := &keptClient{lab: l, closing: true}
		all.work.Go(func() { all.repeat("new connections, "+r.String(), fresh, r) })
		kept := &keptClient{lab: l}
		all.work.Go(func() { all.repeat("a kept connection, "+r.String(), kept, r) })
	}
	l.t.Cleanup(all.end)
	return all
}

func (l *load) end() {
	l.once.Do(func() { close(l.quit) })
	l.work.Wait()
}

func (l *load) repeat(how string, c *keptClient, r request) {
	defer c.close()
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-l.quit:
			return
		}
		begin := time.Now()
		err := c.send(r)
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
func (l *load) more(n int) {
	l.lab.t.Helper()
	late := time.After(patience)
	for range n {
		select {
		case <-l.served:
		case <-late:
			l.lab.t.Fatal("the load gets no answers")
		}
	}
}

func (l *load) wantNoneLost() {
	l.lab.t.Helper()
	l.wantNoneLostBut(func(sent) bool { return false })
}

// wantNoneLostBut ends the load and counts, apart from what is excused.
func (l *load) wantNoneLostBut(isExcused func(sent) bool) {
	t := l.lab.t
	t.Helper()
	l.end()
	lost, excused := 0, 0
	for _, s := range l.done {
		switch {
		case s.err == nil:
		case isExcused(s):
			excused++
		default:
			if lost++; lost <= 10 {
				t.Errorf("lost on %s after %v: %v", s.how, s.end.Sub(s.begin), s.err)
			}
		}
	}
	t.Logf("%d of %d requests lost, %d were in flight where that is excused", lost, len(l.done), excused)
}

// request is what a client sends, and how it knows the answer.
type request struct {
	method, path, body string
	ends               string // of the answer's body
}

func (r request) String() string { return r.method + " " + r.path + " " + r.ends }

func listModels() request {
	return request{method: http.MethodGet, path: "/v1/models", ends: "}"}
}

// countTokens is a request that the load does not send.
func countTokens() request {
	r := message("claude", false)
	r.path += "/count_tokens"
	return r
}

// message asks a model of the fake API, whose name may be a direction.
func message(model string, stream bool) request {
	ends := "}"
	if stream {
		ends = "data: {\"type\":\"message_stop\"}\n\n"
	}
	body := fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":100,"messages":[{"role":"user","content":%q}]}`,
		model, stream, strings.Repeat("hello ", 200))
	return request{http.MethodPost, "/v1/messages", body, ends}
}

// text is the request as HTTP/1.1 has it, from a subscription.
func (r request) text(closing bool) string {
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n",
		r.method, r.path, oauthToken, len(r.body))
	if closing {
		head += "Connection: close\r\n"
	}
	return head + "\r\n" + r.body
}

// keptClient keeps its connection as long as the server wants it to. It knows no
// second attempt.
type keptClient struct {
	lab     *lab
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

func (c *keptClient) send(r request) error {
	err := c.exchange(r)
	if err != nil || c.closing {
		c.close()
	}
	return err
}

func (c *keptClient) exchange(r request) error {
	if c.conn != nil && isClosed(c.conn) {
		c.close() // every client looks before it writes
	}
	if c.conn == nil {
		conn, err := c.lab.DialContext(contextOf(c.lab.t), "tcp", proxyAddr)
		if err != nil {
			return err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience)) // of a TCP connection that is open
	if _, err := io.WriteString(c.conn, r.text(c.closing)); err != nil {
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
	if err == nil && (response.StatusCode != http.StatusOK || !strings.HasSuffix(string(text), r.ends)) {
		err = fmt.Errorf("%s %s", response.Status, text)
	}
	return err
}

// isClosed reports whether the server has closed its side.
func isClosed(c net.Conn) bool {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN)
		return true
	})
	return closed || err != nil
}
