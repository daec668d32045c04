package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
)

const wholeResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

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

// Bytes that an upstream sends after a response must not become the response to another client's
// request.
func TestStrayResponsesReachNobody(t *testing.T) {
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
				response, err := c.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
				if got := response.Header.Get("X-Number"); response.StatusCode == http.StatusOK && got != number {
					t.Errorf("request %s had response %s", number, got)
				}
			}
		})
	}
	work.Wait()
}
