package proxy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/proxy"
)

// phases are the steps of a trace by name.
func phases(t proxy.Trace) []string {
	var names []string
	for _, s := range t.Steps {
		names = append(names, s.Phase)
	}
	return names
}

// found is the one trace of id, once its request has ended.
func (d *door) found(t testing.TB, id string) proxy.Trace {
	t.Helper()
	var traces []proxy.Trace
	eventually(t, id+" has ended", func() bool {
		traces = d.Find(id)
		return len(traces) == 1 && traces[0].Outcome != ""
	})
	return traces[0]
}

func TestTraceSteps(t *testing.T) {
	var streams atomic.Int64
	up := framedUpstream(t, func(c *frameConn) {
		for stream := c.wholeRequest(); stream != 0; stream = c.wholeRequest() {
			if streams.Add(1) == 1 {
				_ = c.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
			} else {
				c.ok(stream, "done")
			}
		}
	})
	d := openDoor(t, up, between(peerAddr, hostAddr), knows(knownPeer()), allow(config.Source{Kind: config.Tailnet}), func(s *setup) {
		s.Headers = []config.Header{{Name: "Anthropic-Beta", Value: "a", Mode: config.ModeMerge}}
	})
	r := post(t, d, "hello")
	r.Header.Set("Authorization", "Bearer sk-ant-oat01-x")
	r.Header.Set("X-Claude-Code-Session-Id", "the-session")
	response, _ := do(t, newClient(t), r)

	got := d.found(t, response.Header.Get("X-Request-Id"))
	if want := []string{"reading", "connecting", "sending", "waiting", "connecting", "sending", "waiting", "streaming"}; !slices.Equal(phases(got), want) {
		t.Fatalf("steps %v, want %v", phases(got), want)
	}
	details := map[int]string{
		1: `^$`, 2: `^on connection 1, its request 1$`,
		4: `^attempt 2, after: .*REFUSED_STREAM`, 5: `^on connection 1, its request 2$`,
	}
	for i, pattern := range details {
		if !regexp.MustCompile(pattern).MatchString(got.Steps[i].Detail) {
			t.Errorf("step %d is %q, want %s", i, got.Steps[i].Detail, pattern)
		}
	}
	for i, s := range got.Steps[1:] {
		if s.At < got.Steps[i].At || s.At > got.Duration {
			t.Errorf("step %d began at %v of %v, the one before at %v", i+1, s.At, got.Duration, got.Steps[i].At)
		}
	}
	if got.Node != "laptop.tail1.ts.net" || got.User != "Ann@example.com" || got.Source != "tailnet" ||
		got.Session != "the-session" || got.Credential != "oauth" || got.Listener != "proxy" ||
		got.Method != "POST" || got.Path != "/v1/messages" || got.BytesIn != 5 || got.BytesOut != 4 ||
		got.Attempts != 2 || got.Status != 200 || got.Outcome != "ok" || got.Error != "" || got.FirstByte <= 0 ||
		!slices.Equal(got.HeaderRules, []proxy.RuleTrace{{Header: "anthropic-beta", Result: "added"}}) {
		t.Errorf("got %+v", got)
	}
}

func TestInFlightPhases(t *testing.T) {
	proceed := make(chan struct{})
	up := newUpstream(t, "http1", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-proceed
		_, _ = io.WriteString(w, "0123456789")
		_ = http.NewResponseController(w).Flush()
		<-proceed
	})
	d := openDoor(t, up, func(s *setup) { s.Proxy.MaxConnections = 1 })
	first := make(chan struct{})
	second := make(chan struct{})
	send := func(done chan<- struct{}) {
		defer close(done)
		do(t, newClient(t), post(t, d, "hello"))
	}
	wait := func(want ...string) []proxy.Trace {
		t.Helper()
		var traces []proxy.Trace
		eventually(t, fmt.Sprint("requests in flight are ", want), func() bool {
			traces = d.InFlight()
			var got []string
			for _, f := range traces {
				got = append(got, fmt.Sprint(f.Phase(), " ", f.BytesIn, " ", f.BytesOut))
			}
			return slices.Equal(got, want)
		})
		return traces
	}
	go send(first)
	wait("waiting 5 0")
	go send(second)
	wait("waiting 5 0", "queued 5 0")
	proceed <- struct{}{}
	traces := wait("streaming 5 10", "queued 5 0")
	if one := traces[0]; one.Silence < 0 || one.Silence > one.Duration || one.Outcome != "" || one.Status != http.StatusOK {
		t.Errorf("in flight: %+v", one)
	}
	close(proceed)
	receive(t, first, "the first response")
	receive(t, second, "the second response")
	wait()
	for _, one := range traces {
		if got := d.found(t, one.RequestID); got.Outcome != "ok" {
			t.Errorf("at the end: %+v", got)
		}
	}
}

func TestFindByIDInBody(t *testing.T) {
	d := openDoor(t, scriptedUpstream(t, nil), func(s *setup) { s.Access.Allow = nil })
	response, _ := do(t, newClient(t), request(t, http.MethodGet, d.url("/"), nil))
	got := d.found(t, response.Header.Get("X-Request-Id"))
	if got.Outcome != "access_denied" || got.Status != http.StatusForbidden || !strings.Contains(got.Error, "no entry of the access list") {
		t.Errorf("got %+v", got)
	}
}

func TestFindByUpstreamID(t *testing.T) {
	up := newUpstream(t, "http1", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Request-Id", "req_up") })
	d := openDoor(t, up)
	do(t, newClient(t), request(t, http.MethodGet, d.url("/"), nil))
	if got := d.found(t, "req_up"); got.UpstreamRequestID != "req_up" || got.RequestID == "req_up" {
		t.Errorf("got %+v", got)
	}
	if got := d.Find("req_other"); len(got) > 0 {
		t.Errorf("found %+v", got)
	}
}

func TestRecorderKeepsThousand(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}))
	c := newClient(t)
	id := func(i int) string { return fmt.Sprintf("req_%026d", i) }
	for i := range 1003 {
		r := request(t, http.MethodGet, d.url("/"), nil)
		r.Header.Set("X-Request-Id", id(i))
		do(t, c, r)
	}
	d.found(t, id(1002))
	for i, kept := range map[int]bool{0: false, 2: false, 3: true, 500: true, 1001: true} {
		if got := len(d.Find(id(i))) == 1; got != kept {
			t.Errorf("request %d is kept: %t, want %t", i, got, kept)
		}
	}
}

// Refused senders cannot push the requests of others out of the recorder.
func TestRecorderKeepsRefusedApart(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}))
	c := newClient(t)
	id := func(i int) string { return fmt.Sprintf("req_%026d", i) }
	send := func(i int, change func(*http.Request)) {
		r := request(t, http.MethodGet, d.url("/"), nil)
		r.Header.Set("X-Request-Id", id(i))
		change(r)
		do(t, c, r)
	}
	send(0, func(*http.Request) {})
	for i := 1; i <= 1100; i++ {
		send(i, func(r *http.Request) {
			r.Header.Set("Via", "1.1 a") // proxied, and so not admitted
			if i%2 == 0 {
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", "websocket")
			}
		})
	}
	send(1101, func(*http.Request) {})
	if got := d.found(t, id(1101)); got.Status != http.StatusOK {
		t.Errorf("the latest request: %+v", got)
	}
	for i, kept := range map[int]bool{0: true, 1: false, 1036: false, 1037: true, 1099: true, 1100: true} {
		if got := len(d.Find(id(i))) == 1; got != kept {
			t.Errorf("request %d is kept: %t, want %t", i, got, kept)
		}
	}
	ended := d.Ended()
	if first, last := ended[0].RequestID, ended[len(ended)-1].RequestID; len(ended) != 66 || first != id(0) || last != id(1101) {
		t.Errorf("%d requests are remembered, from %s to %s", len(ended), first, last)
	}
}

func TestRecorderNamesAsLog(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}),
		between(peerAddr, hostAddr), knows(knownPeer()), allow(config.Source{Kind: config.Tailnet}),
		func(s *setup) { s.LogIdentity = func(string) string { return "hashed" } })
	response, _ := do(t, newClient(t), request(t, http.MethodGet, d.url("/"), nil))
	text, err := json.Marshal(d.found(t, response.Header.Get("X-Request-Id")))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "laptop") || strings.Contains(string(text), "Ann") || !strings.Contains(string(text), `"node":"hashed"`) {
		t.Errorf("remembered: %s", text)
	}
}
