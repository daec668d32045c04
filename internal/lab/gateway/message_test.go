package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/labapi"
)

const oauthBeta = "oauth-2025-04-20"

// TestMessageThroughGateway streams a message through the gateway and the daemon. The API sends an
// event only after the client has the one before.
func TestMessageThroughGateway(t *testing.T) {
	t.Parallel()
	s := newStack(t, "")
	stream := s.api.hold()
	stream.release <- struct{}{}
	resp := s.client.send(t.Context(), t, "/v1/messages?beta=true", message("claude-sonnet-4-5", true))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %s", resp.Status)
	}
	got, err := stream.readThrough(t, resp)
	if !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	if want := stream.events(); !slices.Equal(got, want) || len(got) < 10 {
		t.Errorf("the client received %d events:\n%q\nthe API sent %d:\n%q", len(got), got, len(want), want)
	}
	wantForwarded(t, s.api.only(t))
}

// wantForwarded compares a request that the API received with what the client and the gateway sent.
func wantForwarded(t *testing.T, r labapi.Request) {
	t.Helper()
	if r.Target != "/v1/messages?beta=true" || !r.BodyComplete {
		t.Errorf("the API received %s, complete: %t", r.Target, r.BodyComplete)
	}
	betas := strings.Split(strings.ReplaceAll(strings.Join(r.Header.Values("Anthropic-Beta"), ","), " ", ""), ",")
	if want := append(strings.Split(clientBetas, ","), oauthBeta); !slices.Equal(betas, want) {
		t.Errorf("anthropic-beta is %q, want %q", betas, want)
	}
	sent := http.Header{"Authorization": {"Bearer " + daemontest.OAuthToken}}
	if r.CredentialSHA256 != labapi.CredentialSHA256(sent) {
		t.Errorf("the API received another credential than the gateway's: %q", r.Header["Authorization"])
	}
	for name, want := range map[string]string{
		"Anthropic-Version": "2023-06-01", "Content-Type": "application/json", "X-Stainless-Lang": "js",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestGatewayNamesPersonToUpstream records what the gateway sends to an upstream for which
// forward_user_identity is set. It depends on nothing that the daemon does.
func TestGatewayNamesPersonToUpstream(t *testing.T) {
	t.Parallel()
	received := make(chan http.Header, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received <- r.Header
		writeJSON(w, map[string]string{"type": "message"})
	}))
	t.Cleanup(upstream.Close)
	c := signIn(t, startGateway(t, upstream.URL))
	c.ask(t, message("claude-sonnet-4-5", false)).Want(t, http.StatusOK)
	got := <-received
	for name, want := range map[string]string{
		"X-Claude-Gateway-User-Id":    personID,
		"X-Claude-Gateway-User-Email": personEmail,
		"X-Litellm-End-User-Id":       personEmail,
		"Authorization":               "Bearer " + daemontest.OAuthToken,
		"Anthropic-Beta":              clientBetas + ", " + oauthBeta, // it adds the beta to a token of its own
		"X-Claude-Code-Session-Id":    "",                             // it forwards no session
		"X-App":                       "",
		"Traceparent":                 "",
	} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
	if agent := got.Get("User-Agent"); !strings.HasPrefix(agent, "claude-cli/2.1.332 (external, cli) cc-gateway/") {
		t.Errorf("User-Agent is %q", agent)
	}
}

// TestClientThatLeavesGateway: when a client of the gateway leaves in the middle of a stream, the
// request at the API ends.
func TestClientThatLeavesGateway(t *testing.T) {
	t.Parallel()
	s := newStack(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp := s.client.send(ctx, t, "/v1/messages", message("stall", true))
	if _, err := io.ReadAtLeast(resp.Body, make([]byte, 1000), 100); err != nil {
		t.Fatal(err)
	}
	cancel()
	s.api.awaitGone(t)
	s.daemon.Next(t, `"status":499`)
}
