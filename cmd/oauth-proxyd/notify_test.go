package main_test

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// states is what the messages say beside STATUS=, in order.
func states(messages []string) []string {
	var all []string
	for _, m := range messages {
		for line := range strings.Lines(m) {
			name, _, _ := strings.Cut(line, "=")
			if name != "STATUS" && name != "MONOTONIC_USEC" {
				all = append(all, strings.TrimSpace(line))
			}
		}
	}
	return all
}

func TestLifeIsToldToSystemdInOrder(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := newService(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	s.run()
	if ready := s.notes.next(t, "READY=1"); !strings.Contains(field(ready, "STATUS"), s.unit.sockets[0].addr()) {
		t.Errorf("READY=1 comes with the status %q, which names no address", field(ready, "STATUS"))
	}
	s.signal(syscall.SIGHUP)
	reloading := s.notes.next(t, "RELOADING=1")
	if usec, err := strconv.ParseInt(field(reloading, "MONOTONIC_USEC"), 10, 64); err != nil || usec <= 0 {
		t.Errorf("RELOADING=1 without MONOTONIC_USEC: %q", reloading)
	}
	s.notes.next(t, "READY=1")
	s.signal(syscall.SIGTERM)
	s.notes.next(t, "STOPPING=1", "STATUS=")
	s.wantExit(0)
	want := []string{"READY=1", "RELOADING=1", "READY=1", "STOPPING=1"}
	if got := states(s.notes.all()); !slices.Equal(got, want) {
		t.Errorf("systemd was told %q, want %q", got, want)
	}
}

func TestARefusedReloadEndsWithReady(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.configure("nonsense")
	s.signal(syscall.SIGHUP)
	s.notes.next(t, "RELOADING=1")
	if ready := s.notes.next(t, "READY=1"); !strings.Contains(ready, "reload was refused") {
		t.Errorf("the status does not tell that the reload was refused: %q", ready)
	}
}

func TestStoppingIsToldBeforeTheDrain(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	wait := background(t, newClient(t), "GET", s.url()+"/wait", "")
	u.await(t)
	s.signal(syscall.SIGTERM)
	s.notes.next(t, "STOPPING=1") // with a request in flight
	u.open()
	wait().want(t, 200, "waited")
	s.wantExit(0)
}

func TestTheWatchdogIsFedWhileRequestsAreAnswered(t *testing.T) {
	t.Parallel()
	s := start(t, unit{
		config: forwarding("http://127.0.0.1:9", "", withoutTailnet),
		env:    []string{"WATCHDOG_USEC=100000"},
	})
	for range 5 {
		s.notes.next(t, "WATCHDOG=1")
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	after := states(s.notes.all())
	after = after[slices.Index(after, "STOPPING=1"):]
	if slices.Contains(after, "READY=1") || slices.Contains(after, "RELOADING=1") {
		t.Errorf("after STOPPING=1 came %q", after)
	}
}

func TestWithoutWatchdogThereIsNoPing(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.stop()
	if n := s.notes.count("WATCHDOG"); n > 0 {
		t.Errorf("%d pings that nobody asked for", n)
	}
}
