package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

// openStream is a client that has received the first event of a stream.
type openStream struct{ body io.ReadCloser }

func (u *upstream) openStream(t *testing.T, c *http.Client, url string) *openStream {
	t.Helper()
	response, err := c.Get(url + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	first := make([]byte, len(firstEvent))
	if _, err := io.ReadFull(response.Body, first); err != nil {
		t.Fatal(err)
	}
	u.await(t)
	return &openStream{response.Body}
}

func (o *openStream) rest() (string, error) {
	text, err := io.ReadAll(o.body)
	return string(text), err
}

func (o *openStream) wantWhole(t *testing.T) {
	t.Helper()
	if rest, err := o.rest(); rest != lastEvent || err != nil {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
}

// wantCut wants the stream to end with an error event that has these words, and not cleanly.
func (o *openStream) wantCut(t *testing.T, words ...string) {
	t.Helper()
	rest, err := o.rest()
	reported := strings.HasPrefix(rest, "event: error\ndata: {") && strings.HasSuffix(rest, "}\n\n") && daemontest.ContainsAll(rest, words)
	if !reported || err == nil {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
}

// At the end of drain_timeout the process has ended, so it cuts the streams a moment before. What
// the daemon says of that does not depend on how long a busy machine takes to end a process.
func TestDrainTimeoutCutsStreams(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "2s"`, withoutTailnet)})
	stream := u.openStream(t, newClient(t), s.url())
	s.signal(syscall.SIGTERM)
	stream.wantCut(t, `"draining"`)
	s.wantExit(75)
	begun, cut := s.loggedAt(`"msg":"draining"`), s.loggedAt("cutting the remaining requests")
	if took := cut.Sub(begun); took >= 2*time.Second {
		t.Errorf("the streams were cut after %v of at most 2 s", took)
	}
	s.notes.Next(t, "STATUS=Stopped", "cut")
}

// loggedAt returns when the next record with these words was logged.
func (s *service) loggedAt(words string) time.Time {
	s.t.Helper()
	var record struct{ Time time.Time }
	if err := json.Unmarshal([]byte(s.log.Next(s.t, words)), &record); err != nil {
		s.t.Fatal(err)
	}
	return record.Time
}

// systemd would kill a drain that takes longer than the unit's TimeoutStopSec=.
func TestLongDrainExtendsTheTimeout(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "10m"`, withoutTailnet)})
	u.openStream(t, newClient(t), s.url())
	s.signal(syscall.SIGTERM)
	s.notes.Next(t, "STOPPING=1")
	if got := daemontest.Field(s.notes.Next(t, "EXTEND_TIMEOUT_USEC"), "EXTEND_TIMEOUT_USEC"); got != "605000000" {
		t.Errorf("the stop may take %s µs, want ten minutes and five seconds", got)
	}
	s.signal(syscall.SIGTERM)
	s.wantExit(75)
}

func TestStreamEndsDuringDrain(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	stream := u.openStream(t, newClient(t), s.url())
	s.signal(syscall.SIGTERM)
	s.notes.Next(t, "STOPPING=1")
	u.open()
	stream.wantWhole(t)
	s.wantExit(0)
}

func TestSecondSignalCutsTheDrain(t *testing.T) {
	t.Parallel()
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(second.String(), func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "5m"`, withoutTailnet)})
			stream := u.openStream(t, newClient(t), s.url())
			s.signal(syscall.SIGTERM)
			s.notes.Next(t, "STOPPING=1")
			s.signal(second)
			stream.wantCut(t)
			s.wantExit(75)
			s.notes.Next(t, "STATUS=Stopped", "by a second signal")
		})
	}
}

// timeout(1) sends its signal to a process and to its group.
func TestSecondSignalCutsNothingIdle(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", `drain_timeout = "1m"`, withoutTailnet)})
	s.dial(t).get(t, "/health") // kept, and waited for
	s.signal(syscall.SIGTERM)
	s.signal(syscall.SIGINT) // another, so that none is merged with one that is pending
	s.wantExit(0)
	if strings.Contains(s.log.Text(), "were cut") {
		t.Error("it says that requests were cut")
	}
}

func TestQueueIsRefusedAtDrainTimeout(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "max_connections = 1\n  drain_timeout = \"2s\"", withoutTailnet)})
	first := background(t, newClient(t), "GET", s.url()+"/wait", "")
	u.await(t)
	second := background(t, newClient(t), "POST", s.url()+"/wait", "body")
	s.awaitHealth(t, "queued", 1)
	s.signal(syscall.SIGTERM)
	for name, wait := range map[string]func() result{"in flight": first, "queued": second} {
		r := wait()
		if r.err != nil {
			t.Errorf("%s: %v instead of a response", name, r.err)
			continue
		}
		r.Want(t, 503, `"error_code":"draining"`)
		if r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", name)
		}
	}
	s.wantExit(75)
}

func TestQueueIsServedWhileDraining(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "max_connections = 1", withoutTailnet)})
	first := background(t, newClient(t), "GET", s.url()+"/wait", "")
	u.await(t)
	second := background(t, newClient(t), "POST", s.url()+"/wait", "body")
	s.awaitHealth(t, "queued", 1)
	s.signal(syscall.SIGTERM)
	s.notes.Next(t, "STOPPING=1")
	u.open()
	first().Want(t, 200, "waited")
	second().Want(t, 200, "waited")
	s.wantExit(0)
}

func TestIdleConnectionDoesNotDelayStop(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "10m"`, withoutTailnet)})
	silent, err := net.Dial("tcp", s.unit.sockets[0].Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	idle := s.dial(t) // accepted after the silent one
	if a := idle.get(t, "/echo"); a.StatusCode != 200 {
		t.Fatal(a.Status)
	}
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	begun, ended := s.loggedAt(`"msg":"draining"`), s.loggedAt(`"msg":"stopped"`)
	if took := ended.Sub(begun); took > 4*time.Second { // net/http waits 5 s for a first byte
		t.Errorf("nothing was in flight, and the stop took %v", took)
	}
}

func TestDrainEndsHalfSentRequests(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "2s"`, withoutTailnet)})
	c := s.dial(t)
	if _, err := io.WriteString(c.conn, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	s.awaitHealth(t, "in_flight", 1)
	s.signal(syscall.SIGTERM)
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	defer response.Body.Close()
	if response.StatusCode != 503 {
		t.Errorf("responded %s", response.Status)
	}
	s.wantExit(75)
}

func TestReloadsWhileDrainingAreRefused(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "1m"`, withoutTailnet)})
	wait := background(t, newClient(t), "GET", s.url()+"/wait", "")
	u.await(t)
	s.signal(syscall.SIGTERM)
	s.notes.Next(t, "STOPPING=1")
	s.signal(syscall.SIGHUP)
	if code, _, errs := s.command("reload"); code == 0 || !strings.Contains(errs, "draining") {
		t.Errorf("reload while draining: %d %s", code, errs)
	}
	u.open()
	wait().Want(t, 200, "waited")
	s.wantExit(0)
	notified := states(s.notes.All())
	if fmt.Sprint(notified) != "[READY=1 STOPPING=1 EXTEND_TIMEOUT_USEC=65000000]" {
		t.Errorf("systemd received %q", notified)
	}
}

func TestSIGINTStops(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.signal(syscall.SIGINT)
	s.wantExit(0)
}

func TestNothingListensAfterStop(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{
		config:  forwarding(u.URL, "", withoutTailnet),
		args:    []string{"--listen", "127.0.0.1:0"},
		sockets: []*daemontest.Socket{},
	})
	address := s.loggedAddress()
	wait := background(t, newClient(t), "GET", "http://"+address+"/wait", "")
	u.await(t)
	s.signal(syscall.SIGTERM)
	s.log.Next(t, `"msg":"draining"`)
	daemontest.Eventually(t, "new connections are refused", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	u.open()
	wait().Want(t, 200)
	s.wantExit(0)
}

// awaitHealth waits until a field of /health has a value.
func (s *service) awaitHealth(t *testing.T, name string, count float64) {
	t.Helper()
	c := newClient(t)
	daemontest.Eventually(t, name, func() bool {
		a, err := daemontest.Ask(c, "GET", s.url()+"/health", "")
		return err == nil && a.Object(t)[name] == count
	})
}
