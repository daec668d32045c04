package gateway_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The gateway relays an upstream's 4xx and 501 whole. It replaces every other 5xx by this one,
// without Retry-After and x-should-retry.
const replaced = "all upstreams failed (1 attempted)"

// TestOurErrorsThroughGateway: what the client of the gateway sees of our own errors.
func TestOurErrorsThroughGateway(t *testing.T) {
	t.Parallel()
	t.Run("a 4xx arrives as we wrote it", func(t *testing.T) {
		t.Parallel()
		s := newStack(t, "access {\n  allow = [\"192.0.2.1\"]\n}\n")
		got := s.client.ask(t, message("claude-sonnet-4-5", false))
		got.Want(t, http.StatusForbidden, `"type":"permission_error"`, "oauth-proxyd@", `"error_code":"access_denied"`)
		if got.Header.Get("X-Should-Retry") != "false" || !strings.Contains(got.Header.Get("Proxy-Status"), "oauth-proxyd") {
			t.Errorf("the header of a 403: %v", got.Header)
		}
	})
	t.Run("a 5xx is the gateway's", func(t *testing.T) {
		t.Parallel()
		s := newStack(t, "")
		s.api.Close()
		got := s.client.ask(t, message("claude-sonnet-4-5", false))
		got.Want(t, http.StatusBadGateway, `"type":"api_error"`, replaced)
		s.daemon.Next(t, `"outcome":"upstream_connect"`)
	})
}

// TestAPIErrorsThroughGateway: the daemon changes nothing of the API's errors, and the gateway does
// with them what it does without the daemon.
func TestAPIErrorsThroughGateway(t *testing.T) {
	t.Parallel()
	s := newStack(t, "")
	for _, row := range []struct {
		model  string
		status int
		words  []string
		retry  string // x-should-retry
		after  string // Retry-After
	}{
		{"error-400", http.StatusBadRequest, []string{`"invalid_request_error"`, "at least one message"}, "false", ""},
		{"error-429", http.StatusTooManyRequests, []string{`"rate_limit_error"`}, "true", "7"},
		{"error-529", http.StatusBadGateway, []string{`"api_error"`, replaced}, "", ""},
	} {
		got := s.client.ask(t, message(row.model, false))
		got.Want(t, row.status, row.words...)
		if retry, after := got.Header.Get("X-Should-Retry"), got.Header.Get("Retry-After"); retry != row.retry || after != row.after {
			t.Errorf("%s: x-should-retry %q, Retry-After %q, want %q, %q", row.model, retry, after, row.retry, row.after)
		}
	}
}

// TestBrokenStreamThroughGateway: a stream that the API cuts never looks complete to the
// client of the gateway. Our error event need not arrive: when a connection ends, the gateway drops
// what it has received and not yet sent on. The daemon leaves it a moment for that, which a busy
// machine may need for something else.
func TestBrokenStreamThroughGateway(t *testing.T) {
	t.Parallel()
	s := newStack(t, "")
	stream := s.api.hold()
	stream.release <- struct{}{}
	got, err := stream.readThrough(t, s.client.send(t.Context(), t, "/v1/messages", message("cut-mid-stream", true)))
	if errors.Is(err, io.EOF) {
		t.Error("the stream looks complete")
	}
	last := got[len(got)-1]
	if strings.HasPrefix(last, "event: error\n") && !strings.Contains(last, `"error_code":"upstream_interrupted"`) {
		t.Errorf("the last event is %q", last)
	}
	s.daemon.Next(t, `"outcome":"upstream_interrupted"`)
}
