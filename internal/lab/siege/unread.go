package siege

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// unreadAttacks read nothing of a response that the daemon makes itself. A small response fits into
// the buffers of the kernel, so those are filled first.
func unreadAttacks() []Attack {
	const refusal = "reads nothing of a "
	return []Attack{
		{Name: refusal + "400", Quiet: true, Run: unread("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")},
		{Name: refusal + "403 for a web page", Quiet: true, Run: unread(post("/", 0, "Origin: https://example.com", "Sec-Fetch-Site: cross-site"))},
		{Name: refusal + "408", Quiet: true, Run: unread(request("POST", pathMessage, "Content-Length: 1000") + "x")},
		{Name: refusal + "413", Quiet: true, Run: unread(request("POST", pathMessage, "Content-Length: 999999999999"))},
		{Name: refusal + "431", Quiet: true, Run: unread(request("GET", "/", "X-Large: "+strings.Repeat("a", 80<<10)))},
		{Name: refusal + "501", Quiet: true, Run: unread(request("GET", "/", "Connection: upgrade", "Upgrade: websocket"))},
		{Name: "reads nothing of 100-continue", Quiet: true, Run: unread(request("POST", pathMessage, "Content-Length: 9", "Expect: 100-continue"))},
		{Name: "reads nothing of /health", Quiet: true, Run: unread(strings.Repeat(request("GET", "/health"), 1_000))},
		{Name: "reads nothing of /metrics ×12", Quiet: true, Run: unreadMetrics},
	}
}

// unread sends, on each connection, a request whose response fills the buffers, and then the one
// whose response must not fit any more. The kernel takes a write whole while there is room in the
// segment that it fills, so the connections go in small steps through all sizes just below what the
// buffers take, of which one leaves no room.
func unread(text string) func(*Assault) error {
	return func(a *Assault) error {
		capacity, err := measureCapacity()
		if err != nil {
			return fmt.Errorf("measuring the kernel's buffers: %w", err)
		}
		// The head of the response is within. The steps are shorter than a 100 Continue.
		const below, above, n = 4_000, 200, 400
		a.each(n, func(i int) {
			w, err := a.dialNarrow(i)
			if err != nil {
				return
			}
			fill := capacity - below + (below+above)*i/n
			target := fmt.Sprintf("%s?fate=%s&bytes=%d", pathMessage, fateFill, fill)
			_ = w.SetWriteDeadline(time.Now().Add(stepTimeout)) // a TCP connection has one
			_ = w.write(post(target, 2) + text)                 // the daemon may read no more of it
			a.hold(w)
		})
		return nil
	}
}

// unreadMetrics asks for the largest response of the daemon, many times.
func unreadMetrics(a *Assault) error {
	const connections, times = 12, 500
	a.each(connections, func(i int) {
		if w, err := a.dialNarrow(i); err == nil {
			_ = w.write(strings.Repeat(request("GET", "/metrics"), times)) // likewise
			a.hold(w)
		}
	})
	return nil
}

// measureCapacity is how many bytes a server can write to a narrow client that reads nothing.
func measureCapacity() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	client, err := (&net.Dialer{Control: narrow, Timeout: dialTimeout}).Dial("tcp", listener.Addr().String())
	if err != nil {
		return 0, err
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		return 0, err
	}
	defer server.Close()
	const most, quiet = 8 << 20, 100 * time.Millisecond
	total := 0
	for total < most {
		_ = server.SetWriteDeadline(time.Now().Add(quiet)) // a TCP connection has one
		n, err := server.Write(make([]byte, 4<<10))
		total += n
		if os.IsTimeout(err) {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	return total, nil
}
