package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A client that reads only when it has sent all of its request must not find the connection reset,
// whatever it said of it, or the response may be lost.
func TestRequestDrainedAfterEarlyResponse(t *testing.T) {
	heads := map[string]string{
		"kept":     "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n",
		"to close": "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
		"HTTP/1.0": "POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n",
		"chunked":  "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n",
	}
	responses := map[string]string{
		"length":  "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
		"chunked": "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
	}
	for name, head := range heads {
		for framing, text := range responses {
			for _, size := range []int{2_000, 200_000, 2_000_000} {
				t.Run(fmt.Sprintf("%s, response %s, %d bytes", name, framing, size), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						b := openBubble(t, "http", nil, func(c net.Conn) {
							_, _ = http.ReadRequest(bufio.NewReader(c))
							_, _ = io.WriteString(c, text)
							_, _ = io.Copy(io.Discard, c)
						})
						testSlowToRead(t, b, fmt.Sprintf(head, size), size)
					})
				})
			}
		}
	}
}

// testSlowToRead sends the end of a body a moment after the response has come.
func testSlowToRead(t *testing.T, b *bubble, head string, size int) {
	t.Helper()
	c := b.door.dial()
	defer c.Close()
	got := make(chan string)
	go func() {
		all, _ := io.ReadAll(c)
		got <- string(all)
	}()
	_, _ = io.WriteString(c, head+strings.Repeat("x", 1000))
	time.Sleep(100 * time.Millisecond)
	if n, err := io.WriteString(c, strings.Repeat("x", size-1000)); err != nil {
		t.Errorf("%d more bytes were taken: %v", n, err)
	}
	if all := <-got; !strings.Contains(all, "401 Unauthorized") || !strings.Contains(all, "no") {
		t.Errorf("response %q", all)
	}
}
