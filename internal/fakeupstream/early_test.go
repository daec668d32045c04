package fakeupstream_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/fakeupstream"
)

// upload is a request whose body the test writes bit by bit.
func upload(t *testing.T, c *http.Client, url, first string) (resp *http.Response, rest *io.PipeWriter) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	body, rest := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(rest, first) // the answer tells
	}()
	resp, err := c.Do(request(ctx, t, http.MethodPost, url+"/v1/messages", body))
	if err != nil {
		t.Fatal(err)
	}
	<-done
	t.Cleanup(func() { resp.Body.Close() })
	return resp, rest
}

func TestEarlyAnswersBeforeTheBodyEnds(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(name(http2), func(t *testing.T) {
			seen := make(chan fakeupstream.Request, 1)
			s := start(t, fakeupstream.Config{HTTP2: true, Observe: func(r fakeupstream.Request) { seen <- r }})
			resp, rest := upload(t, client(t, s, http2), s.URL(), `{"model":"early","messages":[`)
			// All but the last byte: after it, Go's client gives the upload up.
			whole, err := io.ReadAll(io.LimitReader(resp.Body, resp.ContentLength-1))
			if err != nil || !strings.Contains(string(whole), "word by word.") {
				t.Fatalf("answer %q, %v, while the body is open", whole, err)
			}
			if _, err := io.WriteString(rest, `]}`); err != nil {
				t.Errorf("writing the rest of the body: %v", err)
			}
			rest.Close()
			if r := <-seen; !r.BodyComplete || r.BodyLength != 31 {
				t.Errorf("the upstream read %d bytes, complete: %t, want all 31", r.BodyLength, r.BodyComplete)
			}
		})
	}
}

func TestEarlyCloseNeverReadsTheRest(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(name(http2), func(t *testing.T) {
			seen := make(chan fakeupstream.Request, 1)
			s := start(t, fakeupstream.Config{HTTP2: true, Observe: func(r fakeupstream.Request) { seen <- r }})
			resp, rest := upload(t, client(t, s, http2), s.URL(), `{"model":"early-close","stream":true,`)
			whole, err := io.ReadAll(resp.Body)
			if err != nil || !strings.HasSuffix(string(whole), "data: {\"type\":\"message_stop\"}\n\n") {
				t.Fatalf("answer %q, %v, while the body is open", whole, err)
			}
			if r := <-seen; r.BodyComplete {
				t.Error("the upstream says that it read the whole body")
			}
			rest.Close()
		})
	}
}

// TestEarlyCloseHangsUp waits for the server to close a connection on which
// most of the body is still to come.
func TestEarlyCloseHangsUp(t *testing.T) {
	s := start(t, fakeupstream.Config{})
	conn := dial(t, s)
	sendPart(t, conn, `{"model":"early-close",`)
	if got, err := io.ReadAll(conn); err != nil || !strings.Contains(string(got), "word by word.") {
		t.Errorf("got %q, %v, want the answer and the end", got, err)
	}
}

// TestEarlyCloseOfLargeBody proves that the answer is not lost with the body.
func TestEarlyCloseOfLargeBody(t *testing.T) {
	s := start(t, fakeupstream.Config{})
	body := `{"model":"early-close","pad":"` + strings.Repeat("x", 200<<10) + `"}`
	r := request(t.Context(), t, http.MethodPost, s.URL()+"/v1/messages", strings.NewReader(body))
	resp, got := do(t, client(t, s, false), r)
	if !resp.Close || !strings.Contains(got, "word by word.") {
		t.Errorf("got %q, close: %t, want the answer on a connection that is closed", got, resp.Close)
	}
}

// TestEarlyGivesUpWithTheClient sends a malformed chunk after the answer: what
// follows it must not be taken for another request.
func TestEarlyGivesUpWithTheClient(t *testing.T) {
	s := start(t, fakeupstream.Config{})
	conn := dial(t, s)
	const chunked = "POST /v1/messages HTTP/1.1\r\nHost: upstream\r\nX-Api-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"11\r\n{\"model\":\"early\",\r\nnot a chunk\r\nGET /api/hello HTTP/1.1\r\nHost: upstream\r\n\r\n"
	if _, err := io.WriteString(conn, chunked); err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(conn) // the end may be a reset
	if strings.Count(string(got), "HTTP/1.1 200") != 1 {
		t.Errorf("got %q, want one answer", got)
	}
}

func TestEarlyRefusesWithoutCredential(t *testing.T) {
	s := start(t, fakeupstream.Config{})
	r := request(t.Context(), t, http.MethodPost, s.URL()+"/v1/messages", strings.NewReader(`{"model":"early"}`))
	r.Header.Del("X-Api-Key")
	if resp, _ := do(t, client(t, s, false), r); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", resp.StatusCode)
	}
}
