package siege

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Who says whether the daemon admits an attacker.
type Who string

// The attackers.
const (
	Refused  Who = "refused"  // not in access.allow
	Admitted Who = "admitted" // another person than the bystanders
)

// The addresses of loopback that the lab uses. Only the bystanders have theirs.
const (
	admittedNetwork  = "127.1.0.0/16"
	bystanderAddress = "127.1.0.1"
)

// Attack is one thing that a hostile client does.
type Attack struct {
	Name string
	Who  Who
	// Sources is the number of addresses that the attack comes from; 0 means one.
	Sources int
	// Fills marks an attack of an admitted client that takes all slots. A client may then wait
	// until one of them times out, and no longer.
	Fills bool
	// Lag is how long the kernel may still move bytes after the attacker has stopped: it probes a
	// closed window at growing intervals.
	Lag time.Duration
	// Quiet marks an attack that mostly waits, so that others can run at the same time.
	Quiet bool
	// Run attacks. It returns when it has nothing more to do. The lab closes what it holds.
	Run func(*Assault) error
}

// sources is how many addresses the attack has.
func (a Attack) sources() int { return max(a.Sources, 1) }

// Assault is an attack in progress. Run of an [Attack] works with it.
type Assault struct {
	context.Context
	attack  Attack
	address string
	timing  Timing

	connected atomic.Int64
	mu        sync.Mutex
	held      []net.Conn
	note      string
}

// number is long in a report and short in the tests.
func (a *Assault) number(long, short int) int {
	if a.timing.Short {
		return short
	}
	return long
}

// source is the i-th address of the attacker.
func (a *Assault) source(i int) net.IP {
	i %= a.attack.sources()
	network := byte(2)
	if a.attack.Who == Admitted {
		network = 1
	}
	return net.IPv4(127, network, byte(1+i/250), byte(1+i%250))
}

// dialTimeout is short, because an attacker that cannot connect tries elsewhere.
const dialTimeout = time.Second

// dial connects from the i-th address. All that is done on the connection ends with the assault.
func (a *Assault) dial(i int) (*wire, error) { return a.dialWith(i, nil) }

// dialNarrow connects with the smallest receive buffer and small segments, so that few bytes of a
// response fill all buffers on the way.
func (a *Assault) dialNarrow(i int) (*wire, error) { return a.dialWith(i, narrow) }

func narrow(_, _ string, c syscall.RawConn) error {
	var err error
	control := c.Control(func(fd uintptr) {
		err = errors.Join(
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1),
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536),
		)
	})
	return errors.Join(control, err)
}

func (a *Assault) dialWith(i int, control func(string, string, syscall.RawConn) error) (*wire, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: a.source(i)}, Timeout: dialTimeout, Control: control}
	conn, err := dialer.DialContext(a, "tcp", a.address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := a.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // of a TCP connection that is open
	}
	a.connected.Add(1)
	return &wire{Conn: conn, in: bufio.NewReader(conn)}, nil
}

// hold keeps a connection open until the lab has measured what it costs.
func (a *Assault) hold(w *wire) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = append(a.held, w)
}

// release closes what was held.
func (a *Assault) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.held {
		_ = c.Close() // the daemon may have closed it
	}
	a.held = nil
}

// each calls do n times, some at once, until the assault ends. A connection may fail:
// the daemon may defend itself.
func (a *Assault) each(n int, do func(i int)) {
	const workers = 64
	var next atomic.Int64
	var work sync.WaitGroup
	for range min(n, workers) {
		work.Go(func() {
			for i := next.Add(1); i <= int64(n) && a.Err() == nil; i = next.Add(1) {
				do(int(i - 1))
			}
		})
	}
	work.Wait()
}

// holdEach connects n times, sends the text on each connection and holds it.
func (a *Assault) holdEach(n int, text string) {
	a.each(n, func(i int) {
		if w, err := a.dial(i); err == nil {
			_ = w.write(text) // the daemon may have closed it
			a.hold(w)
		}
	})
}

// trickle sends a byte on each connection that is held, tick after tick.
func (a *Assault) trickle(b string) {
	a.mu.Lock()
	held := a.held
	a.mu.Unlock()
	a.ticks(func() {
		for _, c := range held {
			_ = c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
			_, _ = io.WriteString(c, b) // likewise
		}
	})
}

// ticks calls do at the pace of a slow client, as long as the lab holds an attack.
func (a *Assault) ticks(do func()) {
	ticker := time.NewTicker(a.timing.Tick)
	defer ticker.Stop()
	for end := time.After(a.timing.Hold); ; {
		select {
		case <-ticker.C:
			do()
		case <-end:
			return
		case <-a.Done():
			return
		}
	}
}

// flood sends n requests with the text, a hundred on a connection as far as the daemon keeps it,
// and reads the responses.
func (a *Assault) flood(n int, texts ...string) {
	const kept = 100
	a.each((n+kept-1)/kept, func(i int) {
		var w *wire
		defer func() { w.close() }()
		for j := range kept {
			if a.Err() != nil {
				return
			}
			if w == nil {
				var err error
				if w, err = a.dial(i); err != nil {
					continue
				}
			}
			if text := texts[j%len(texts)]; w.write(text) != nil || w.response(methodOf(text)) != nil {
				w.close()
				w = nil
			}
		}
	})
}

// wire is one connection of an attacker.
type wire struct {
	net.Conn
	in *bufio.Reader
}

// close does nothing for a nil wire.
func (w *wire) close() {
	if w != nil {
		_ = w.Close() // nothing is lost
	}
}

// stepTimeout bounds one write or one response of a flood.
const stepTimeout = 2 * time.Second

func (w *wire) write(text string) error {
	_ = w.SetWriteDeadline(time.Now().Add(stepTimeout)) // a TCP connection has one
	_, err := io.WriteString(w.Conn, text)
	return err
}

// response reads one response, and fails if none may follow on the connection.
func (w *wire) response(method string) error {
	_ = w.SetReadDeadline(time.Now().Add(stepTimeout)) // likewise
	r, err := http.ReadResponse(w.in, &http.Request{Method: method})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return err
	}
	if r.Close {
		return io.EOF
	}
	return nil
}

// request is the head of a well-formed request. The credential is made up.
func request(method, target string, headers ...string) string {
	lines := append([]string{method + " " + target + " HTTP/1.1", "Host: 127.0.0.1", "X-Api-Key: sk-ant-api03-made-up"}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// post is a whole request with a body of that many bytes.
func post(target string, size int, headers ...string) string {
	return request(http.MethodPost, target, append(headers, fmt.Sprintf("Content-Length: %d", size))...) + strings.Repeat("x", size)
}

func methodOf(text string) string {
	method, _, _ := strings.Cut(text, " ")
	return method
}
