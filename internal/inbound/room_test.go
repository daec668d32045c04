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

// A sender that is not admitted and whose response takes long does not protect the silent
// connections of its address.
func TestSilentGiveWayBehindABusyOne(t *testing.T) {
	const sources, share = 8, 16 // all of the budget
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	handling, release := make(chan struct{}), make(chan struct{})
	s := inbound.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(handling)
			<-release
		}
	}), slog.New(slog.DiscardHandler))
	s.Open("proxy", fromElsewhere{tcp}, func(err error) { t.Error(err) })
	t.Cleanup(func() {
		close(release)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Cut(ctx)
		tcp.Close()
	})
	from := func(source int, text string) net.Conn {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(source))}}
		c, err := dialer.DialContext(t.Context(), "tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		return c
	}
	from(1, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-handling
	for i := 1; i < sources*share; i++ {
		from(1+i/share, "")
	}
	c := from(1+sources, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second)) // silent connections end after 10 s
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("a new address: %v; %+v", err, s.Connections())
	}
}
