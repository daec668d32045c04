package fakeupstream_test

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/fakeupstream"
)

func TestProtocols(t *testing.T) {
	tests := []struct {
		name        string
		tls, http2  bool
		clientHTTP2 bool
		scheme      string
		proto       string
	}{
		{"h1", false, false, false, "http", "HTTP/1.1"},
		{"h1 beside h2c", false, true, false, "http", "HTTP/1.1"},
		{"h2c", false, true, true, "http", "HTTP/2.0"},
		{"TLS h1", true, false, false, "https", "HTTP/1.1"},
		{"TLS h1 beside h2", true, true, false, "https", "HTTP/1.1"},
		{"TLS h2", true, true, true, "https", "HTTP/2.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o observer
			s := start(t, fakeupstream.Config{TLS: tt.tls, HTTP2: tt.http2, Observe: o.observe})
			if !strings.HasPrefix(s.URL(), tt.scheme+"://127.0.0.1:") {
				t.Errorf("URL %s, want scheme %s on loopback", s.URL(), tt.scheme)
			}
			r := request(t.Context(), t, http.MethodPost, s.URL()+"/v1/messages", strings.NewReader(`{"model":"m","stream":true}`))
			resp, body := do(t, client(t, s, tt.clientHTTP2), r)
			if resp.Proto != tt.proto || o.only(t).Proto != tt.proto {
				t.Errorf("client speaks %s, upstream saw %s, want %s", resp.Proto, o.only(t).Proto, tt.proto)
			}
			if names := eventNames(body); len(names) < 8 || names[len(names)-1] != "message_stop" {
				t.Errorf("events %v, want a whole stream", names)
			}
		})
	}
}

// TestProtocolsNotOffered proves that HTTP2 is an option and not the default.
func TestProtocolsNotOffered(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := start(t, fakeupstream.Config{TLS: secure})
		resp, err := client(t, s, true).Do(request(t.Context(), t, http.MethodGet, s.URL()+"/api/hello", nil))
		if err == nil {
			resp.Body.Close()
			t.Errorf("TLS %t: got %s without asking for HTTP2", secure, resp.Proto)
		}
	}
}

func TestUntrustedCertificate(t *testing.T) {
	s, other := start(t, fakeupstream.Config{TLS: true}), start(t, fakeupstream.Config{TLS: true})
	c := client(t, other, false)
	resp, err := c.Do(request(t.Context(), t, http.MethodGet, s.URL()+"/api/hello", nil))
	if err == nil {
		resp.Body.Close()
		t.Error("one server's certificate is good for another server")
	}
}

// TestClose aborts whatever is going on; that it leaves no goroutine is proved
// by TestMain.
func TestClose(t *testing.T) {
	tests := []struct {
		name, body string
		http2      bool
		interval   time.Duration
	}{
		{"stalled stream h1", `{"model":"stall","stream":true}`, false, 0},
		{"stalled stream h2c", `{"model":"stall","stream":true}`, true, 0},
		{"between two events", `{"model":"m","stream":true}`, false, time.Hour},
		{"a client that reads nothing", `{"model":"long-100000","stream":true}`, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, fakeupstream.Config{HTTP2: true, EventInterval: tt.interval})
			r := request(t.Context(), t, http.MethodPost, s.URL()+"/v1/messages", strings.NewReader(tt.body))
			resp, err := client(t, s, tt.http2).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if err := s.Close(); err != nil {
				t.Fatalf("closing: %v", err)
			}
			if stack := stacks(); strings.Contains(stack, "fakeupstream.(*Server).serve(") {
				t.Errorf("the server is at work after Close:\n%s", stack)
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

// TestCloseDuringEarlyAnswer closes while a handler waits for its next event
// and nobody reads the body, so that only the server can tell it to stop.
func TestCloseDuringEarlyAnswer(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(name(http2), func(t *testing.T) {
			var o observer
			s := start(t, fakeupstream.Config{HTTP2: true, EventInterval: time.Hour, Observe: o.observe})
			_, rest := upload(t, client(t, s, http2), s.URL(), `{"stream":true,"model":"early",`)
			if err := s.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
			if o.only(t).BodyComplete {
				t.Error("half a body is said to be complete")
			}
			rest.Close()
		})
	}
}

func TestCloseWithSilentConnection(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := start(t, fakeupstream.Config{TLS: secure})
		conn := dial(t, s)
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is open after Close")
		}
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

// stacks shows what all goroutines do.
func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
