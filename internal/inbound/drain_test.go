package inbound

import (
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// slowAccept hands an accepted connection over only when told to, as on a busy machine.
type slowAccept struct {
	*net.TCPListener
	accepted, release chan struct{}
}

func (l slowAccept) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err == nil {
		close(l.accepted)
		<-l.release
	}
	return c, err
}

// A connection that was accepted just before the listeners closed is served before the server is
// taken for empty.
func TestDrainWaitsForAcceptedConnections(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	l := slowAccept{tcp.(*net.TCPListener), make(chan struct{}), make(chan struct{})}
	served := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s := NewServer(served, slog.New(slog.DiscardHandler))
	s.Open("proxy", l, func(err error) { t.Error(err) })
	responses := make(chan error, 1)
	go func() {
		r, err := http.Get("http://" + tcp.Addr().String())
		if err == nil {
			err = r.Body.Close()
		}
		responses <- err
	}()
	<-l.accepted
	s.CloseListeners()
	select {
	case <-s.connections.empty:
		t.Error("the server is taken for empty")
	default:
	}
	close(l.release)
	if err := s.Drain(t.Context(), time.Minute); err != nil {
		t.Error(err)
	}
	if err := <-responses; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
