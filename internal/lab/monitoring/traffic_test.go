package monitoring_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// client sends requests to the daemon as developers' clients do, and as those that something goes
// wrong with.
type client struct {
	t    *testing.T
	url  string
	http *http.Client
}

func newClient(t *testing.T, url string) client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return client{t, url, &http.Client{Transport: transport, Timeout: daemontest.Patience}}
}

const (
	subscription = "Bearer " + daemontest.OAuthToken
	ownBeta      = "oauth-2025-04-20"
)

// message asks a model that is an instruction to the mock API; see package labapi.
func (c client) message(model string, header ...string) (status int) {
	return c.send(http.MethodPost, "/v1/messages", `{"model":"`+model+`","stream":true}`, header...)
}

// send returns 0 for a response that did not come whole.
func (c client) send(method, path, body string, header ...string) (status int) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return 0
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := c.http.Do(r)
	if err != nil {
		return 0
	}
	_, err = io.Copy(io.Discard, response.Body)
	if response.Body.Close(); err != nil {
		return 0
	}
	return response.StatusCode
}

// leave reads the beginning of a response and goes.
func (c client) leave() {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+"/v1/messages",
		strings.NewReader(`{"model":"slow","stream":true}`))
	if err != nil {
		c.t.Error(err)
		return
	}
	r.Header.Set("X-Api-Key", daemontest.APIKey)
	response, err := c.http.Do(r)
	if err != nil {
		c.t.Error(err)
		return
	}
	_, _ = io.ReadFull(response.Body, make([]byte, 10))
	response.Body.Close()
}

// want compares a status; what says which request it is about.
func (c client) want(status, got int, what string) {
	c.t.Helper()
	if got != status {
		c.t.Errorf("%s: status %d, want %d", what, got, status)
	}
}

// work is what goes well, and what the API itself refuses.
func (c client) work() {
	c.t.Helper()
	account := func(name, limit, used string) []string {
		return []string{"Authorization", subscription, "X-Account", name, "X-Limit", limit, "X-Used", used}
	}
	c.want(200, c.message("m", account("one", "allowed", "0.42")...), "a subscription")
	c.want(200, c.message("m", account("two", "allowed_warning", "0.91")...), "a subscription near its limit")
	c.want(200, c.message("m", "Authorization", subscription, "Anthropic-Beta", ownBeta), "one with the beta")
	c.want(200, c.message("m", "X-Api-Key", daemontest.APIKey, "User-Agent", "claude-cli/2.1.300 (external, cli)"), "an API key")
	c.want(200, c.send(http.MethodHead, "/", ""), "the probe of a client")
	c.want(401, c.message("m"), "no credential")
	c.want(429, c.message("error-429", account("three", "rejected", "1.0")...), "no quota")
	c.want(529, c.message("error-529", "Authorization", subscription), "an overloaded API")
}

// trouble is what fails on the request path.
func (c client) trouble() {
	c.t.Helper()
	key := []string{"X-Api-Key", daemontest.APIKey}
	c.want(0, c.message("cut-mid-stream", key...), "cut by the API")
	c.want(0, c.message("stall", key...), "an API that falls silent")
	c.want(504, c.send(http.MethodGet, "/hold", ""), "an API that does not respond")
	c.want(403, c.message("m", "X-Forwarded-For", "192.0.2.1"), "a client behind another proxy")
	c.want(501, c.send(http.MethodGet, "/v1/models", "", "Connection", "upgrade", "Upgrade", "websocket"), "an upgrade")
	c.leave()
}

// crowd fills all slots and the queue, and one more request is refused.
func (c client) crowd(h *held) {
	c.t.Helper()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { c.want(200, c.send(http.MethodGet, "/hold", ""), "one in flight") })
	}
	for range 3 {
		<-h.arrived
	}
	all.Go(func() { c.want(401, c.send(http.MethodGet, "/v1/models", ""), "one that waited") })
	c.waitFor("\nproxy_requests_queued 1\n")
	c.want(503, c.send(http.MethodGet, "/v1/models", ""), "one too many")
	for range 3 {
		<-h.release
	}
	all.Wait()
}

// waitFor waits until the daemon's metrics have that text.
func (c client) waitFor(text string) {
	c.t.Helper()
	daemontest.Eventually(c.t, "the metrics have "+text, func() bool { return strings.Contains(c.metrics(), text) })
}

func (c client) metrics() string {
	c.t.Helper()
	return c.exposition("")
}

// exposition is /metrics in the format that is asked for.
func (c client) exposition(accept string) string {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url+"/metrics", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	response, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}
