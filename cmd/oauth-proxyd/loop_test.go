package main_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// twoDaemons starts two daemons that are each other's upstream.
func twoDaemons(t *testing.T) (first, second *service) {
	t.Helper()
	one, two := daemontest.Listen(t, "proxy"), daemontest.Listen(t, "proxy")
	second = start(t, unit{sockets: []*daemontest.Socket{two}, config: forwarding(one.URL(), "", mergeBeta, withoutTailnet)})
	first = start(t, unit{sockets: []*daemontest.Socket{one}, config: forwarding(two.URL(), "", mergeBeta, withoutTailnet)})
	return first, second
}

// The client gets one clear error, and the operator sees the cause.
func TestLoopOfTwoDaemons(t *testing.T) {
	t.Parallel()
	first, second := twoDaemons(t)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := daemontest.Ask(c, "POST", first.url()+"/v1/messages", `{"model":"m"}`,
		"Authorization", "Bearer "+daemontest.OAuthToken, "Anthropic-Version", "2023-06-01", "Content-Type", "application/json")
	if err != nil {
		t.Fatal(err)
	}
	got.Want(t, 400, `"error_code":"loop_detected"`, `"type":"invalid_request_error"`, "upstream_url", second.url())
	first.log.Next(t, `"outcome":"loop_detected"`)
	second.log.Next(t, `"status":400`)
	first.awaitMetrics(t, `proxy_errors_total{code="loop_detected"} 1`)
	id := got.Header.Get("X-Request-Id")
	if id == "" || !strings.Contains(got.Body, id) || got.Header.Get("X-Should-Retry") != "false" {
		t.Errorf("the header %v, the body %s", got.Header, got.Body)
	}
	if code, out, _ := first.command("explain", id); code != 0 || !strings.Contains(out, "loop_detected") {
		t.Errorf("explain: %d\n%s", code, out)
	}
	if n := second.log.Count(`"outcome":`); n != 1 {
		t.Errorf("%d requests went round, want one", n)
	}
}

// forwarder relays connections to a socket, byte for byte, and returns its URL.
func forwarder(t *testing.T, to *daemontest.Socket) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var relays sync.WaitGroup
	t.Cleanup(func() { l.Close(); relays.Wait() })
	relays.Go(func() {
		for here, err := l.Accept(); err == nil; here, err = l.Accept() {
			there, err := net.Dial("tcp", strings.TrimPrefix(to.URL(), "http://"))
			if err != nil {
				t.Error(err)
				return
			}
			relays.Go(func() { _, _ = io.Copy(there, here); there.Close() })
			relays.Go(func() { _, _ = io.Copy(here, there); here.Close() })
		}
	})
	return "http://" + l.Addr().String()
}

// The daemon recognizes doctor's request in the first round, although nothing changes it.
func TestDoctorTakesNoSlotsInALoop(t *testing.T) {
	t.Parallel()
	socket := daemontest.Listen(t, "proxy")
	s := start(t, unit{sockets: []*daemontest.Socket{socket}, config: forwarding(forwarder(t, socket), "", withoutTailnet)})
	_, out, _ := s.command("doctor", "--config", s.file())
	if out = strings.Join(strings.Fields(out), " "); !strings.Contains(out, "the request came back to oauth-proxyd -> proxy.upstream_url") {
		t.Errorf("doctor says\n%s", out)
	}
	s.awaitMetrics(t, `proxy_errors_total{code="loop_detected"} 1`)
	for range 2 {
		s.log.Next(t, `"outcome":`) // a request is counted before it is logged
	}
	if n := s.log.Count(`"outcome":`); n != 2 {
		t.Errorf("%d requests, want the first and the one that came back", n)
	}
}

// together responds to requests once all of them have arrived.
type together struct {
	came    chan struct{} // for each
	missing sync.WaitGroup
}

// arrive notes that one more request has come, or never will.
func (u *together) arrive() {
	u.missing.Done()
	u.came <- struct{}{}
}

func (u *together) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	u.arrive()
	u.missing.Wait()
	_, _ = io.WriteString(w, strings.Join(r.Header["Via"], ","))
}

// 500 equal requests are in flight at once, on new and on kept connections. They arrive in dozens,
// because new connections have a limit of their own.
func TestEqualRequestsAreNoLoop(t *testing.T) {
	t.Parallel()
	const requests, dozen = 500, 20
	up := &together{came: make(chan struct{}, requests)}
	up.missing.Add(requests)
	server := httptest.NewServer(up)
	t.Cleanup(server.Close)
	s := start(t, unit{config: forwarding(server.URL, "", mergeBeta, withoutTailnet)})
	var work sync.WaitGroup
	clients := []*http.Client{{Transport: &http.Transport{DisableKeepAlives: true}}, {Transport: &http.Transport{}}}
	for i := range requests {
		work.Go(func() {
			got, err := daemontest.Ask(clients[i%2], "POST", s.url()+"/v1/messages", `{"model":"m"}`, "Authorization", "Bearer "+daemontest.OAuthToken)
			if err != nil || got.Status != http.StatusOK || got.Body != "" {
				t.Errorf("%+v %v", got, err)
				up.arrive()
			}
		})
		if i >= dozen {
			<-up.came
		}
	}
	work.Wait()
	clients[1].CloseIdleConnections()
}
