package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// The client sends the body only after the upstream has asked for it.
func TestContinueEndToEnd(t *testing.T) {
	asked := make(chan struct{}, 1)
	h := func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Expect"); r.ProtoMajor == 1 && r.Method == "POST" && got != "100-continue" { // HTTP/2's server hides it
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.Method == "POST" {
			asked <- struct{}{}
		}
		body, _ := io.ReadAll(r.Body) // sends the 100
		fmt.Fprintf(w, "got %s", body)
	}
	for _, framing := range []string{"Content-Length: 4\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"} {
		forEachProtocol(t, h, func(t *testing.T, up *mockAPI) {
			conn := openDoor(t, up).dial(t)
			conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"+framing)
			receive(t, asked, "the header at the upstream")
			leave, err := http.ReadResponse(conn.in, nil)
			if err != nil || leave.StatusCode != http.StatusContinue || len(leave.Header) > 0 {
				t.Fatalf("got %v, %v, want a 100", leave, err)
			}
			body := "body"
			if strings.HasPrefix(framing, "Transfer") {
				body = "4\r\nbody\r\n0\r\n\r\n"
			}
			conn.send(t, body)
			if response, got := conn.response(t, "POST"); response.StatusCode != 200 || got != "got body" {
				t.Errorf("status %d, %q", response.StatusCode, got)
			}
			conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n") // the connection is kept
			conn.response(t, "GET")
		})
	}
}

// An upstream that refuses by the header alone: nobody is asked for the body.
func TestRefusedExpectation(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusExpectationFailed, http.StatusOK} {
		refuse := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close") // and do not read
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "enough")
		}
		forEachProtocol(t, refuse, func(t *testing.T, up *mockAPI) {
			d := openDoor(t, up)
			r := request(t, "POST", d.url("/"), readerFunc(func([]byte) (int, error) {
				t.Error("the client was asked for its body")
				return 0, io.EOF
			}))
			r.ContentLength = 1 << 20
			r.Header.Set("Expect", "100-continue")
			if response, body := do(t, newClient(t), r); response.StatusCode != status || body != "enough" {
				t.Errorf("status %d, body %q", response.StatusCode, body)
			}
		})
	}
}

type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A response that keeps its connection would have net/http ask for the body too.
func TestNoContinueAfterResponse(t *testing.T) {
	up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		if r, err := http.ReadRequest(in); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 "+r.Header.Get("X-Status")+"\r\nContent-Length: 0\r\n\r\n")
			_, _ = io.Copy(io.Discard, in)
		}
	})
	d := openDoor(t, up)
	for _, status := range []string{"401 Unauthorized", "417 Expectation Failed", "200 OK"} {
		conn := d.dial(t)
		conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nX-Status: "+status+"\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		if response, _ := conn.response(t, "POST"); response.Status != status {
			t.Errorf("responded %s, want %s", response.Status, status)
		}
	}
}

// The client sees that a response is cut, although it still waits for the 100.
func TestCutInsteadOfContinue(t *testing.T) {
	up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		}
	})
	conn := openDoor(t, up).dial(t)
	conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	if all, err := io.ReadAll(conn.in); !strings.HasSuffix(string(all), "half") || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the client has %q, %v", all, err)
	}
}

// A 103 that crosses the 100 must not mix with it.
func TestContinueAmongHints(t *testing.T) {
	up := scriptedUpstream(t, func(c net.Conn, in *bufio.Reader) {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		hint := "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: a\r\n\r\n"
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"+strings.Repeat(hint, 50))
		_, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(c, hint+"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	conn := openDoor(t, up).dial(t)
	conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
	count := map[int]int{}
	for {
		response, err := http.ReadResponse(conn.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		count[response.StatusCode]++
		if response.StatusCode == 100 {
			conn.send(t, "a")
		}
		if response.Header.Get("Connection") != "" || response.Header.Get("X-Hop") != "" {
			t.Errorf("%d with %v", response.StatusCode, response.Header)
		}
		if response.StatusCode >= 200 {
			break
		}
	}
	if count[100] != 1 || count[103] != 51 || count[200] != 1 {
		t.Errorf("got %v", count)
	}
}

// A client that got its 100 and waits for the final response before it sends more of its body.
func TestResponseToClientThatPausesAfterContinue(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // or it would wait for the body
		w.WriteHeader(http.StatusContinue)
		if r.Header.Get("X-Silent") != "" {
			_, _ = io.ReadAll(r.Body)
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "enough")
	}
	for _, framing := range []string{
		"Content-Length: 10\r\n\r\n", "Content-Length: 10\r\n\r\nhalf",
		"Transfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nha", "Transfer-Encoding: chunked\r\n\r\n5",
	} {
		for silent, want := range map[string]int{"": http.StatusUnauthorized, "X-Silent: 1\r\n": http.StatusRequestTimeout} {
			if silent != "" && strings.HasSuffix(framing, "\n") {
				continue // the others prove it
			}
			forEachBubble(t, refuse, func(t *testing.T, b *bubble) {
				conn := b.from(t, "127.0.0.1:1000")
				conn.send(t, "POST / HTTP/1.1\r\nHost: h\r\n"+silent+"Expect: 100-continue\r\n"+framing)
				response, _ := conn.response(t, "POST")
				if response.StatusCode == http.StatusContinue {
					response, _ = conn.response(t, "POST")
				}
				if response.StatusCode != want || !response.Close {
					t.Errorf("after %q: %d, close %v, want %d and a close", framing, response.StatusCode, response.Close, want)
				}
				eventually(t, "the slot is free", func() bool { return b.Stats().InFlight == 0 })
			}, shortIdle)
		}
	}
}
