package main_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

// states returns the messages without STATUS=, in order.
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

func TestNotificationsInOrder(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := newService(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	s.run()
	if ready := s.notes.Next(t, "READY=1"); !strings.Contains(daemontest.Field(ready, "STATUS"), s.unit.sockets[0].Addr()) {
		t.Errorf("READY=1 comes with the status %q, which names no address", daemontest.Field(ready, "STATUS"))
	}
	s.signal(syscall.SIGHUP)
	reloading := s.notes.Next(t, "RELOADING=1")
	if usec, err := strconv.ParseInt(daemontest.Field(reloading, "MONOTONIC_USEC"), 10, 64); err != nil || usec <= 0 {
		t.Errorf("RELOADING=1 without MONOTONIC_USEC: %q", reloading)
	}
	s.notes.Next(t, "READY=1")
	s.signal(syscall.SIGTERM)
	s.notes.Next(t, "STOPPING=1", "STATUS=")
	s.wantExit(0)
	want := []string{"READY=1", "RELOADING=1", "READY=1", "STOPPING=1", "EXTEND_TIMEOUT_USEC=10000000"}
	if got := states(s.notes.All()); !slices.Equal(got, want) {
		t.Errorf("systemd received %q, want %q", got, want)
	}
}

func TestRefusedReloadNotifiesReady(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.configure("nonsense")
	s.signal(syscall.SIGHUP)
	s.notes.Next(t, "RELOADING=1")
	if ready := s.notes.Next(t, "READY=1"); !strings.Contains(ready, "reload was refused") {
		t.Errorf("the status does not tell that the reload was refused: %q", ready)
	}
}

func TestStoppingPrecedesTheDrain(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	wait := background(t, newClient(t), "GET", s.url()+"/wait", "")
	u.await(t)
	s.signal(syscall.SIGTERM)
	s.notes.Next(t, "STOPPING=1") // with a request in flight
	u.open()
	wait().Want(t, 200, "waited")
	s.wantExit(0)
}

func TestWatchdogPings(t *testing.T) {
	t.Parallel()
	s := start(t, unit{
		config: forwarding("http://127.0.0.1:9", "", withoutTailnet),
		env:    []string{"WATCHDOG_USEC=100000"},
	})
	for range 5 {
		s.notes.Next(t, "WATCHDOG=1")
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.notes.Next(t, "STATUS=Stopped") // the last of all
	after := states(s.notes.All())
	after = after[slices.Index(after, "STOPPING=1"):]
	if slices.Contains(after, "READY=1") || slices.Contains(after, "RELOADING=1") {
		t.Errorf("after STOPPING=1 came %q", after)
	}
}

func TestWatchdogHalfInterval(t *testing.T) {
	t.Parallel()
	const interval = time.Second
	s := start(t, unit{
		config: forwarding("http://127.0.0.1:9", "", withoutTailnet),
		env:    []string{"WATCHDOG_USEC=1000000"},
	})
	for range 10 { // not all of them may be late
		s.notes.Next(t, "WATCHDOG=1")
		began := time.Now()
		s.notes.Next(t, "WATCHDOG=1")
		s.notes.Next(t, "WATCHDOG=1")
		if time.Since(began) < 2*interval*3/4 {
			return
		}
	}
	t.Error("two pings never come within one and a half of the interval")
}

func TestWatchdogWithheldWithoutResponse(t *testing.T) {
	t.Parallel()
	dir := daemontest.TempDir(t)
	path, aside := filepath.Join(dir, "http.sock"), filepath.Join(dir, "aside.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, unit{
		config:  forwarding("http://127.0.0.1:9", "", withoutTailnet),
		sockets: []*daemontest.Socket{daemontest.Hold(t, "proxy", l)},
		env:     []string{"WATCHDOG_USEC=100000"},
	})
	s.notes.Next(t, "WATCHDOG=1")
	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
	hangUp(t, path)
	s.log.Next(t, "systemd's watchdog restarts the service")
	fed := s.notes.Count("WATCHDOG=1")
	for range 3 {
		s.log.Next(t, "systemd's watchdog restarts the service")
	}
	if n := s.notes.Count("WATCHDOG=1") - fed; n > 0 {
		t.Errorf("%d pings of a process that responds to nobody", n)
	}
	if err := os.Rename(aside, path); err != nil { // it responds again
		t.Fatal(err)
	}
	daemontest.Eventually(t, "fed again", func() bool { return s.notes.Count("WATCHDOG=1") > fed })
}

// hangUp accepts connections at path and does not respond.
func hangUp(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the name is the other's by then
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

func TestNoWatchdogNoPing(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.stop()
	if n := s.notes.Count("WATCHDOG"); n > 0 {
		t.Errorf("%d pings that nobody asked for", n)
	}
}
