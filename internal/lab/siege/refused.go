package siege

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// crowd is the number of addresses of an attack that comes from many.
const crowd = 200

// refusedAttacks come from addresses that access.allow does not name: most from one address, some
// from many.
func refusedAttacks() []Attack {
	return []Attack{
		{Name: "churn of 10,000 connections", Run: churn},
		{Name: "10,000 connections held, from 200 addresses", Sources: crowd, Quiet: true, Run: holdAll(10_000, 4_000, "")},
		{Name: "10,000 requests held, whose bodies do not come", Run: holdAll(10_000, 4_000, request("POST", "/", "Content-Length: 1000"))},
		{Name: "half-open: 2,500 connections that send nothing", Quiet: true, Run: holdAll(2_500, 2_500, "")},
		{Name: "403, then idle, ×2,300", Run: askThenIdle(request("GET", "/"))},
		{Name: "403, then idle, ×2,300, from 200 addresses", Sources: crowd, Run: askThenIdle(request("GET", "/"))},
		{Name: "/health, then idle, ×2,300", Run: askThenIdle(request("GET", "/health"))},
		{Name: "6,000 requests that are not HTTP", Run: notHTTP},
		{Name: "6,000 requests that are HTTP and not valid", Run: floodOf(6_000, 3_000, invalid()...)},
		{Name: "56 connections of HTTP/2, window 0", Quiet: true, Run: http2Windows},
		{Name: "slow headers", Quiet: true, Run: slowHeaders},
		{Name: "pipelines of 1,000 requests, unread", Quiet: true, Run: pipelines(strings.Repeat(request("GET", "/"), 1_000))},
		{Name: "reads nothing of /health", Quiet: true, Run: pipelines(strings.Repeat(request("GET", "/health"), 1_000))},
		{Name: "reads nothing of 100-continue", Quiet: true, Run: pipelines(request("POST", "/", "Content-Length: 9", "Expect: 100-continue"))},
		{Name: "flood of 431", Run: floodOf(1_000, 300, request("GET", "/", "X-Large: "+strings.Repeat("a", 80<<10)))},
		{Name: "large bodies", Run: largeBodies},
		{Name: "flood of HEAD and OPTIONS", Run: floodOf(6_000, 3_000, request("HEAD", "/"), request("OPTIONS", "/"), request("OPTIONS", "*"))},
		{Name: "flood of 501", Run: floodOf(6_000, 3_000, request("GET", "/", "Connection: upgrade", "Upgrade: websocket"))},
		{Name: "flood of 413", Run: floodOf(6_000, 3_000, request("POST", "/", "Content-Length: 999999999999"))},
		{Name: "flood of /metrics", Run: floodOf(6_000, 3_000, request("GET", "/metrics"))},
	}
}

func churn(a *Assault) error {
	a.each(a.number(10_000, 4_000), func(i int) {
		if w, err := a.dial(i); err == nil {
			w.close()
		}
	})
	return nil
}

// holdAll opens connections, sends the same on each, and leaves them.
func holdAll(long, short int, text string) func(*Assault) error {
	return func(a *Assault) error {
		a.holdEach(a.number(long, short), text)
		return nil
	}
}

// askThenIdle leaves each connection idle after a whole exchange. There are more than slots, queue
// and the spare connections together.
func askThenIdle(text string) func(*Assault) error {
	const n = 2_300
	return func(a *Assault) error {
		a.each(n, func(i int) {
			w, err := a.dial(i)
			if err != nil {
				return
			}
			if w.write(text) != nil || w.response(methodOf(text)) != nil {
				w.close()
				return
			}
			a.hold(w)
		})
		return nil
	}
}

func floodOf(long, short int, texts ...string) func(*Assault) error {
	return func(a *Assault) error {
		a.flood(a.number(long, short), texts...)
		return nil
	}
}

// invalid are requests that a parser accepts and a proxy must refuse.
func invalid() []string {
	return []string{
		"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 oauth-proxyd\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nTailscale-Funnel-Request: ?1\r\n\r\n",
	}
}

// notHTTP sends requests that no parser accepts. Each ends its connection.
func notHTTP(a *Assault) error {
	texts := []string{
		"GARBAGE\r\n\r\n",
		"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nbad name: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 200) + "\r\n\r\n",
	}
	a.each(a.number(6_000, 3_000), func(i int) {
		w, err := a.dial(i)
		if err != nil {
			return
		}
		defer w.close()
		if w.write(texts[i%len(texts)]) == nil {
			_ = w.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // a TCP connection has one
			_, _ = w.in.ReadByte()                                       // of a refusal, or none comes
		}
	})
	return nil
}

// http2Windows opens as many streams as a server of HTTP/2 takes, and no window for the responses.
func http2Windows(a *Assault) error {
	const connections, streams = 56, 250
	text := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	text = append(text, frame(4, 0, 0, "\x00\x04\x00\x00\x00\x00")...) // SETTINGS: INITIAL_WINDOW_SIZE 0
	for id := range streams {
		// HEADERS, END_HEADERS: POST http / with the authority "ai", and a body to come (RFC 7541
		// §6).
		text = append(text, frame(1, 4, 2*id+1, "\x83\x86\x84\x41\x02ai")...)
	}
	a.holdEach(connections, string(text))
	return nil
}

// frame is one of HTTP/2 (RFC 9113 §4.1).
func frame(kind, flags byte, stream int, payload string) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = append(head, flags)
	head = binary.BigEndian.AppendUint32(head, uint32(stream))
	return append(head, payload...)
}

func slowHeaders(a *Assault) error {
	a.holdEach(a.number(1_000, 400), "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
	a.trickle("a")
	return nil
}

// pipelines sends the same on some connections and reads nothing of what comes back.
func pipelines(text string) func(*Assault) error {
	return func(a *Assault) error {
		a.each(a.number(100, 40), func(i int) {
			if w, err := a.dialNarrow(i); err == nil {
				_ = w.SetWriteDeadline(time.Now().Add(a.timing.Hold)) // the daemon may read no more of it
				_, _ = io.WriteString(w.Conn, text)
				a.hold(w)
			}
		})
		return nil
	}
}

// largeBodies sends as much of a body as is taken, with a length and in chunks.
func largeBodies(a *Assault) error {
	const size = 100 << 20
	heads := []string{
		request(http.MethodPost, "/", fmt.Sprintf("Content-Length: %d", size)),
		request(http.MethodPost, "/", "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n", size),
	}
	piece := strings.Repeat("x", 64<<10)
	a.each(a.number(60, 20), func(i int) {
		w, err := a.dial(i)
		if err != nil {
			return
		}
		a.hold(w)
		if w.write(heads[i%len(heads)]) != nil {
			return
		}
		_ = w.SetWriteDeadline(time.Now().Add(a.timing.Hold)) // a TCP connection has one
		for sent := 0; sent < size; sent += len(piece) {
			if _, err := io.WriteString(w.Conn, piece); err != nil {
				return
			}
		}
	})
	return nil
}
