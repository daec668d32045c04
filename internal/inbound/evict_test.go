package inbound_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"oauth-proxyd/internal/inbound"
)

// fromElsewhere has connections from 127.0.A.B come from 198.51.A.B: each of these has a share.
type fromElsewhere struct{ *net.TCPListener }

// Accept implements net.Listener.
func (l fromElsewhere) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	from := *c.RemoteAddr().(*net.TCPAddr)
	from.IP = net.IPv4(198, 51, from.IP.To4()[2], from.IP.To4()[3])
	return elsewhere{c, &from}, nil
}

type elsewhere struct {
	*net.TCPConn
	from net.Addr
}

// RemoteAddr implements net.Conn.
func (c elsewhere) RemoteAddr() net.Addr { return c.from }

// house is a server on loopback whose clients may come from elsewhere.
type house struct {
	*inbound.Server
	address string
}

func openHouse(t *testing.T, elsewhere bool, handler http.HandlerFunc) house {
	t.Helper()
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var l net.Listener = tcp
	if elsewhere {
		l = fromElsewhere{tcp}
	}
	s := inbound.NewServer(handler, slog.New(slog.DiscardHandler))
	s.Resize(1000, 1)
	s.Open("proxy", l, func(err error) { t.Error(err) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Cut(ctx)
		tcp.Close()
	})
	return house{s, tcp.Addr().String()}
}

// from connects from 127.0.0.1 or another source, and sends text.
func (h house) from(t *testing.T, source net.IP, text string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: source}}
	c, err := dialer.DialContext(t.Context(), "tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// isServed fails the test if c gets no response.
func (h house) isServed(t *testing.T, who string, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("%s: %v; %+v", who, err, h.Connections())
	}
}

const hello = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// A sender that is not admitted and whose response takes long does not protect the silent
// connections of its address.
func TestSilentGiveWayBehindABusyOne(t *testing.T) {
	const sources, share = 8, 16 // all of the budget
	handling, release := make(chan struct{}), make(chan struct{})
	h := openHouse(t, true, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(handling)
			<-release
		}
	})
	t.Cleanup(func() { close(release) })
	source := func(i int) net.IP { return net.IPv4(127, 0, 1, byte(1+i)) }
	h.from(t, source(0), "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-handling
	for i := 1; i < sources*share; i++ {
		h.from(t, source(i/share), "")
	}
	h.isServed(t, "a new address", h.from(t, source(sources), hello))
	if h.Connections().StrangersClosed == 0 {
		t.Error("it waited until a silent connection had ended on its own")
	}
}

// A client that opens many connections at once may send on the first ones last, and long after it
// has connected. None is closed for another one, because all can be served without that.
func TestBurstThatSendsLateIsServed(t *testing.T) {
	for name, test := range map[string]struct {
		elsewhere     bool
		silent, later int
	}{
		"a new address":    {true, 16, 30},
		"a shared address": {false, 128, 30},
	} {
		t.Run(name, func(t *testing.T) {
			h := openHouse(t, test.elsewhere, func(_ http.ResponseWriter, r *http.Request) { inbound.ConnOf(r).Admit() })
			var conns []net.Conn
			for range test.silent + test.later {
				conns = append(conns, h.from(t, net.IPv4(127, 0, 0, 1), ""))
			}
			time.Sleep(300 * time.Millisecond) // from 250 ms on, silent ones may have to give way
			first := test.silent + 1           // alone: while it is judged, others wait only as long as a busy machine may need
			for _, part := range [][]net.Conn{conns[test.silent:first], conns[first:], conns[:test.silent]} {
				for _, c := range part {
					_, _ = io.WriteString(c, hello) // it may be closed
				}
				for _, c := range part {
					h.isServed(t, "a connection", c)
				}
			}
		})
	}
}
