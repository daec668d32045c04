package siege

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// The paths of a message, by what the upstream makes of it.
const (
	pathMessage = "/v1/messages"
	pathFlood   = pathMessage + "?fate=" + fateFlood
	pathSilent  = pathMessage + "?fate=" + fateSilent
	pathDeaf    = pathMessage + "?fate=" + fateDeaf
	pathLargeID = pathMessage + "?fate=" + fateLargeID
)

// slots and waiting are proxy.max_connections and proxy.queue_limit by default.
const slots, waiting = 1_000, 1_000

// windowLag is enough for the kernel's probes of a window that has closed: bytes move until the
// buffer of the client's kernel is full, and each of them is progress.
const windowLag = 15 * time.Second

// admittedAttacks are the attacks of an admitted person, who is not one of the bystanders.
func admittedAttacks() []Attack {
	return append(unreadAttacks(), []Attack{
		{Name: "56 connections of HTTP/2, window 0", Quiet: true, Run: http2Windows},
		{Name: "pipelines of 1,000 requests, unread", Quiet: true, Lag: windowLag, Run: pipelines(strings.Repeat(post(pathMessage, 2), 1_000))},
		{Name: "slow headers", Quiet: true, Run: slowHeaders},
		{Name: "slow bodies", Quiet: true, Run: slowBodies},
		{Name: "slow reader from the headers on", Quiet: true, Lag: windowLag, Run: slowReaders(0)},
		{Name: "slow reader from the first byte on", Quiet: true, Lag: windowLag, Run: slowReaders(1 << 10)},
		{Name: "slow reader in mid-stream", Quiet: true, Lag: windowLag, Run: slowReaders(256 << 10)},
		{Name: "3,000 connections opened ahead", Quiet: true, Run: holdAll(3_000, 3_000, "")},
		{Name: "a message, then idle, ×2,300", Run: askThenIdle(post(pathMessage, 2))},
		{Name: "bodies up to the replay budget", Fills: true, Run: holdAll(slots, slots, post(pathSilent, 256<<10))},
		{Name: "bodies that the upstream does not read", Fills: true, Run: holdAll(slots, 300, post(pathDeaf, 1<<20))},
		{Name: "3,000 cancelled requests", Run: cancellations},
		{Name: "1,000 sessions of one peer", Fills: true, Run: sessions},
		{Name: "queue stuffing", Fills: true, Run: holdAll(slots+waiting+500, slots+waiting+500, post(pathSilent, 2))},
		{Name: "Request-Id of 9 MB from the upstream", Run: largeIDs},
		{Name: "session id of 60 kB", Run: floodOf(2_000, 1_100, post(pathMessage, 2, "X-Claude-Code-Session-Id: "+strings.Repeat("s", 60_000)))},
		{Name: "churn of 10,000 connections", Run: churn},
		{Name: "6,000 requests that are HTTP and not valid", Run: floodOf(6_000, 3_000, invalid()...)},
		{Name: "flood of 501 and 413", Run: floodOf(6_000, 3_000,
			request("GET", "/", "Connection: upgrade", "Upgrade: websocket"), request("POST", "/", "Content-Length: 999999999999"))},
		{Name: "flood of HEAD and OPTIONS", Run: floodOf(6_000, 3_000, request("HEAD", "/"), request("OPTIONS", "/"))},
	}...)
}

// slowBodies sends each body byte by byte, and then stops.
func slowBodies(a *Assault) error {
	a.holdEach(a.number(800, 200), request("POST", pathMessage, "Content-Length: 1000000"))
	a.trickle("x")
	return nil
}

// slowReaders reads some bytes of an endless response, then byte by byte, and then stops.
func slowReaders(first int64) func(*Assault) error {
	return func(a *Assault) error {
		var open []*wire
		a.each(a.number(400, 100), func(i int) {
			w, err := a.dialNarrow(i)
			if err != nil {
				return
			}
			if w.write(post(pathFlood, 2)) == nil {
				_ = w.SetReadDeadline(time.Now().Add(stepTimeout)) // a TCP connection has one
				_, _ = io.CopyN(io.Discard, w.Conn, first)
			}
			a.hold(w)
			a.mu.Lock()
			defer a.mu.Unlock()
			open = append(open, w)
		})
		one := make([]byte, 1)
		a.ticks(func() {
			for _, w := range open {
				_ = w.SetReadDeadline(time.Now().Add(time.Millisecond)) // likewise
				_, _ = w.Conn.Read(one)
			}
		})
		return nil
	}
}

// cancellations leaves as soon as the upstream has the request.
func cancellations(a *Assault) error {
	const n, patience = 3_000, 10 * time.Millisecond
	a.each(n, func(i int) {
		w, err := a.dial(i)
		if err != nil {
			return
		}
		defer w.close()
		if w.write(post(pathSilent, 2)) == nil {
			_ = w.SetReadDeadline(time.Now().Add(patience)) // a TCP connection has one
			_, _ = w.in.ReadByte()
		}
	})
	return nil
}

func sessions(a *Assault) error {
	a.each(slots+waiting/2, func(i int) {
		if w, err := a.dial(i); err == nil {
			_ = w.write(post(pathSilent, 2, fmt.Sprintf("X-Claude-Code-Session-Id: 0b2f7a3e-5d1c-4f6a-9a57-%012d", i)))
			a.hold(w)
		}
	})
	return nil
}

// largeIDs takes each response whole, a few at a time: what stays is what the daemon keeps of them.
func largeIDs(a *Assault) error {
	for i := range a.number(200, 60) { // one after the other: several keep both processors busy
		w, err := a.dial(i)
		if err != nil {
			continue
		}
		if w.write(post(pathLargeID, 2, "Connection: close")) == nil {
			_, _ = io.Copy(io.Discard, w.in) // however it ends
		}
		w.close()
	}
	return nil
}
