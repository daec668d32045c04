package rig

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
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

// Request is a POST as a client of the Messages API sends it. The credential is made up.
func Request(path string) []byte {
	return []byte("POST " + path + " HTTP/1.1\r\n" +
		"Host: ai\r\n" +
		"User-Agent: claude-cli/2.1.330 (external, cli)\r\n" +
		"Authorization: Bearer sk-ant-oat01-bench\r\n" +
		"Anthropic-Version: 2023-06-01\r\n" +
		"Anthropic-Beta: claude-code-20250219,interleaved-thinking-2025-05-14\r\n" +
		"X-Claude-Code-Session-Id: 0b2f7a3e-5d1c-4f6a-9a57-2a3f0f6a8b11\r\n" +
		"Accept: application/json\r\n" +
		"Content-Type: application/json\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n", RequestSize) +
		strings.Repeat("x", RequestSize))
}

// Send sends a request and reads the header of its answer.
func (c *Client) Send(request []byte) (*http.Response, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 512))
		return nil, fmt.Errorf("answered %s: %s", answer.Status, body)
	}
	return answer, nil
}

// Exchange sends a request and reads its whole answer.
func (c *Client) Exchange(request []byte) error {
	answer, err := c.Send(request)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, answer.Body)
	if err == nil && n != AnswerSize {
		err = fmt.Errorf("the answer has %d bytes of %d", n, AnswerSize)
	}
	return err
}
