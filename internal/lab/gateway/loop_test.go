package gateway_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// relay passes the bytes of connections on to an address that is known later.
type relay struct {
	net.Listener
	to   string
	work sync.WaitGroup
}

func startRelay(t *testing.T) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l}
	t.Cleanup(func() { l.Close(); r.work.Wait() })
	return r
}

func (r *relay) run(to string) {
	r.to = to
	r.work.Go(func() {
		for {
			c, err := r.Accept()
			if err != nil {
				return
			}
			r.work.Go(func() { r.pass(c) })
		}
	})
}

func (r *relay) pass(c net.Conn) {
	defer c.Close()
	onward, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer onward.Close()
	r.work.Go(func() { io.Copy(onward, c); onward.(*net.TCPConn).CloseWrite() })
	io.Copy(c, onward)
}

// TestUpstreamIsTheGateway: the daemon's upstream is the gateway whose upstream is the daemon. The
// gateway ends that itself, in the first round: it takes its own sessions only, and the credential
// with which it asks the daemon is none of them.
func TestUpstreamIsTheGateway(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	daemon, log := startDaemon(t, "http://"+r.Addr().String(), "")
	gateway := startGateway(t, daemon)
	r.run(strings.TrimPrefix(gateway, "http://"))
	got := signIn(t, gateway).ask(t, message("claude-sonnet-4-5", false))
	got.Want(t, http.StatusUnauthorized, `"type":"authentication_error"`, "invalid token")
	log.Next(t, `"outcome":`)
	if n := log.Count(`"outcome":`); n != 1 {
		t.Errorf("%d requests went round, want one", n)
	}
}
