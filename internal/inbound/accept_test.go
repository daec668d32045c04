package inbound

import (
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// noDescriptors is a listener of a process that has no file descriptor left.
type noDescriptors struct{ net.Listener }

func (noDescriptors) Accept() (net.Conn, error) {
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
}

func (noDescriptors) Close() error { return nil }

// What a client can cause at will does not fill the log.
func TestFailedAcceptsLogALineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := NewServer(http.NotFoundHandler(), slog.New(slog.NewTextHandler(&log, nil)))
		s.Open("proxy", noDescriptors{}, func(err error) { t.Error(err) })
		time.Sleep(150 * time.Second)
		s.Cut(t.Context())
		if n := strings.Count(log.String(), "could not accept a connection"); n != 3 {
			t.Errorf("%d lines in two and a half minutes: %s", n, log.String())
		}
	})
}
