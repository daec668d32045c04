package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// cutStream has an upstream that breaks a stream off behind its first event, and a client that has
// read why.
func cutStream(t *testing.T) (b *bubble, c net.Conn, in *bufio.Reader) {
	t.Helper()
	b = openBubble(t, "http", nil, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		time.Sleep(time.Millisecond) // the clock of the bubble must move before the response
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
	})
	c = b.door.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	in = bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, "upstream_interrupted") {
			return b, c, in
		}
	}
}

// A proxy before us may drop an event that comes together with the end of the connection.
func TestErrorEventBeforeReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, in := cutStream(t)
		defer c.Close()
		rest := make(chan string)
		start := time.Now()
		go func() {
			all, _ := io.ReadAll(in)
			rest <- string(all)
		}()
		synctest.Wait()
		if n := len(b.InFlight()); n > 0 {
			t.Errorf("%d requests are in flight while the connection is about to end", n)
		}
		if all := <-rest; strings.Contains(all, "0\r\n\r\n") {
			t.Errorf("the stream looks complete: %q", all)
		}
		if gap := time.Since(start); gap == 0 || gap > time.Second {
			t.Errorf("the end came %v after the event", gap)
		}
	})
}

// A client that closes the connection when it has read why is not waited for.
func TestClientThatLeavesACutStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, _ := cutStream(t)
		start := time.Now()
		_ = c.Close()
		synctest.Wait()
		if n := b.server.Connections().Admitted; n > 0 || time.Since(start) > 0 {
			t.Errorf("%d connections are open after %v", n, time.Since(start))
		}
	})
}
