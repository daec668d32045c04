package host_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"

	"oauth-proxyd/internal/daemontest"
)

// stream is a response that has begun.
type stream struct {
	lab    *lab
	header http.Header
	body   io.ReadCloser
	lines  *bufio.Reader
}

// openStream asks for a message that stalls after two words, and reads these.
func (l *lab) openStream() *stream {
	l.t.Helper()
	return l.openStreamAt(proxyAddr)
}

func (l *lab) openStreamAt(address string) *stream {
	l.t.Helper()
	r := message("stall", true)
	q, err := http.NewRequestWithContext(l.t.Context(), r.Method, "http://"+address+r.Path, strings.NewReader(r.Body))
	if err != nil {
		l.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+daemontest.OAuthToken)
	q.Header.Set("Anthropic-Beta", "interleaved-thinking-2025-05-14")
	client := l.client()
	client.Timeout = 0
	response, err := client.Do(q)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		l.t.Fatalf("the stream got %s", response.Status)
	}
	s := &stream{l, response.Header, response.Body, bufio.NewReader(response.Body)}
	for range 2 {
		s.awaitLine("event: content_block_delta")
	}
	s.awaitLine("") // the end of the event
	return s
}

func (s *stream) awaitLine(want string) {
	s.lab.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.lab.t.Fatalf("the stream ended before %q: %v", want, err)
		}
		if strings.TrimSuffix(line, "\n") == want {
			return
		}
	}
}

// wantCut reads a stream to its end, which must be told as an error, and must not look like a clean
// one.
func (s *stream) wantCut() {
	s.lab.t.Helper()
	rest, err := io.ReadAll(s.lines)
	if !strings.HasPrefix(string(rest), "event: error\ndata: {\"type\":\"error\"") || !strings.HasSuffix(string(rest), "\n\n") {
		s.lab.t.Errorf("the stream ended with %q", rest)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		s.lab.t.Errorf("the end of the stream looks like %v", err)
	}
}
