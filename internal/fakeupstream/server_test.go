package fakeupstream_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/fakeupstream"
)

// TestClose aborts whatever is going on. TestMain proves that it leaves no goroutine.
func TestClose(t *testing.T) {
	for name, c := range map[string]fakeupstream.Config{
		"between two events": {EventInterval: time.Hour},
		"a client that reads nothing": {Script: func(_ http.ResponseWriter, _ *http.Request, _ []byte, s *fakeupstream.Script) {
			s.Blocks = []fakeupstream.Block{fakeupstream.Text(100_000)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, c)
			r := request(t.Context(), t, http.MethodPost, s.URL()+"/v1/messages", strings.NewReader(`{"model":"m","stream":true}`))
			resp, err := client(t).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if err := s.Close(); err != nil {
				t.Fatalf("closing: %v", err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Error("the stream came to a clean end")
			}
			if err := s.Close(); err != nil {
				t.Errorf("closing once more: %v", err)
			}
		})
	}
}

func TestCloseDuringUpload(t *testing.T) {
	var o observer
	s := start(t, fakeupstream.Config{Observe: o.observe})
	conn := dial(t, s)
	sendPart(t, conn, `{"model":"m"`)
	if err := s.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func TestCloseWithSilentConnection(t *testing.T) {
	s := start(t, fakeupstream.Config{})
	conn := dial(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open after Close")
	}
}

func TestClosedServerRefuses(t *testing.T) {
	s := start(t, fakeupstream.Config{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
	if err == nil {
		conn.Close()
		t.Error("a connection was accepted after Close")
	}
}

func TestClientGoneWhileUploading(t *testing.T) {
	seen := make(chan fakeupstream.Request, 1)
	s := start(t, fakeupstream.Config{Observe: func(r fakeupstream.Request) { seen <- r }})
	conn := dial(t, s)
	sendPart(t, conn, `{"model":"m"`)
	conn.Close()
	if r := <-seen; r.BodyComplete || r.BodyLength != 12 {
		t.Errorf("saw %d bytes, complete: %t, want 12 of a body that is not", r.BodyLength, r.BodyComplete)
	}
}

func dial(t *testing.T, s *fakeupstream.Server) net.Conn {
	t.Helper()
	_, address, _ := strings.Cut(s.URL(), "://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// sendPart sends the beginning of a long request.
func sendPart(t *testing.T, conn net.Conn, body string) {
	t.Helper()
	_, err := io.WriteString(conn, "POST /v1/messages HTTP/1.1\r\nHost: upstream\r\nX-Api-Key: k\r\nContent-Length: 999\r\n\r\n"+body)
	if err != nil {
		t.Fatal(err)
	}
}
