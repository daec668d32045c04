package rig

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// Client is one connection of a client. It costs less than net/http's and keeps to one request at a
// time.
type Client struct {
	net.Conn
	in *bufio.Reader
}

// Dial connects to a proxy.
func Dial(ctx context.Context, address string) (*Client, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &Client{Conn: c, in: bufio.NewReader(c)}, nil
}

// DialSlow connects with a receive buffer of so many bytes, for a client that will not read.
func DialSlow(ctx context.Context, address string, buffer int) (*Client, error) {
	control := func(_, _ string, raw syscall.RawConn) (err error) {
		failure := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer)
		})
		return errors.Join(failure, err)
	}
	c, err := (&net.Dialer{Control: control}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &Client{Conn: c, in: bufio.NewReader(c)}, nil
}

// Request is a POST as a client of the Messages API sends it. The credential is made up.
func Request(path string) []byte {
	return append(RequestHead(path, RequestSize), bytes.Repeat([]byte("x"), RequestSize)...)
}

// RequestHead is the head of such a request, with a body of size bytes.
func RequestHead(path string, size int64) []byte {
	return []byte("POST " + path + " HTTP/1.1\r\n" +
		"Host: ai\r\n" +
		"User-Agent: claude-cli/2.1.330 (external, cli)\r\n" +
		"Authorization: Bearer sk-ant-oat01-bench\r\n" +
		"Anthropic-Version: 2023-06-01\r\n" +
		"Anthropic-Beta: claude-code-20250219,interleaved-thinking-2025-05-14\r\n" +
		"X-Claude-Code-Session-Id: 0b2f7a3e-5d1c-4f6a-9a57-2a3f0f6a8b11\r\n" +
		"Accept: application/json\r\n" +
		"Content-Type: application/json\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n", size))
}

// Send sends a request and reads the head of its response.
func (c *Client) Send(request []byte) (*http.Response, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	return c.Receive()
}

// Receive reads the head of a response, which must be 200.
func (c *Client) Receive() (*http.Response, error) {
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		return nil, fmt.Errorf("responded %s: %s", response.Status, body)
	}
	return response, nil
}

// Exchange sends a request and reads its whole response.
func (c *Client) Exchange(request []byte) error {
	response, err := c.Send(request)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && n != ResponseSize {
		err = fmt.Errorf("the response has %d bytes of %d", n, ResponseSize)
	}
	return err
}
