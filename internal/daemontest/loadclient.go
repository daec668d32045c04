package daemontest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// Request is one of a subscription, and how its client knows the answer.
type Request struct {
	Method, Path, Body string
	Ends               string // of the answer's body
}

// Target is where a program listens, and how to connect there.
type Target struct {
	Address string
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// Send sends one request, on a connection of its own and in one attempt.
func (to Target) Send(r Request) error { return (&loadClient{to: to, closing: true}).send(r) }

// loadClient keeps its connection as long as the server wants it to. It knows no
// second attempt, which net/http's does.
type loadClient struct {
	to      Target
	closing bool // asks for the end after each answer
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
	err := c.exchange(r)
	if err != nil || c.closing {
		c.close()
	}
	return err
}

func (c *loadClient) exchange(r Request) error {
	if c.conn != nil && isClosed(c.conn) {
		c.close() // every client looks before it writes
	}
	if c.conn == nil {
		conn, err := c.to.Dial(context.Background(), "tcp", c.to.Address)
		if err != nil {
			return err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(Patience)) // of a TCP connection that is open
	if _, err := io.WriteString(c.conn, r.text(c.closing)); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	err = r.check(response)
	if response.Close {
		c.close()
	}
	return err
}

// text is the request as HTTP/1.1 has it.
func (r Request) text(closing bool) string {
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n",
		r.Method, r.Path, OAuthToken, len(r.Body))
	if closing {
		head += "Connection: close\r\n"
	}
	return head + "\r\n" + r.Body
}

// check reads an answer to its end.
func (r Request) check(response *http.Response) error {
	text, err := io.ReadAll(response.Body)
	err = errors.Join(err, response.Body.Close())
	if err == nil && (response.StatusCode != http.StatusOK || !strings.HasSuffix(string(text), r.Ends)) {
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
	err = raw.Control(func(fd uintptr) { // Read would wait for somebody else's
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN)
	})
	return closed || err != nil
}
