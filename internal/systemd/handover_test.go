package systemd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/systemd"
)

// asSuccessor makes the test binary a successor that behaves as its value says.
const asSuccessor = "OAUTH_PROXYD_TEST_SUCCESSOR"

// succeed serves on what it inherits: each connection is told the name of its listener
// and how the process behaves.
func succeed(how string) (code int) {
	if how == "refuses" {
		return 78
	}
	p, err := systemd.InheritFromPredecessor()
	if err != nil || p == nil || os.Getenv("OAUTH_PROXYD_HANDOVER") != "" {
		fmt.Fprintln(os.Stderr, "nothing inherited:", err)
		return 1
	}
	switch how {
	case "hangs", "hangs on":
		if how == "hangs on" {
			signal.Ignore(syscall.SIGTERM)
		}
		<-time.After(time.Hour)
	case "gives up":
		p.GiveUp("no\nreason")
		return 78
	}
	for _, l := range p.Listeners {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%s of %s", l.Name, how)
				c.Close()
			}
		}()
	}
	if how == "crashes" {
		go p.AwaitRelease()
		<-time.After(100 * time.Millisecond)
		return 3
	}
	if version := p.AwaitRelease(); version != "" {
		fmt.Println("released by " + version)
		return 0
	}
	<-time.After(time.Hour) // a signal ends it
	return 0
}

// successor starts one in front of the listeners, and has it ended with the test.
func successor(t *testing.T, how string, listeners ...systemd.Listener) *systemd.Successor {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := systemd.StartSuccessor(systemd.Program{
		Path: exe, Args: []string{exe}, Listeners: listeners,
		Env: append(os.Environ(), asSuccessor+"="+how, "GORACE=atexit_sleep_ms=0"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.End(0) })
	return s
}

func tcpListener(t *testing.T) systemd.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return systemd.Listener{Name: "proxy", Listener: l}
}

// hello is what a connection to l is told.
func hello(t *testing.T, l net.Listener) string {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestASuccessorServesTheListenersItWasPassed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first, second := tcpListener(t), systemd.Listener{Name: "second", Listener: l}
	s := successor(t, "serves", first, second)
	if err := s.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Only the successor accepts.
	if a, b := hello(t, first), hello(t, second); a != "proxy of serves" || b != "second of serves" {
		t.Errorf("served %q and %q", a, b)
	}
	if err := s.Try(t.Context(), 10*time.Millisecond); err != nil {
		t.Error(err)
	}
	if err := s.Release("1.2.3"); err != nil {
		t.Error(err)
	}
}

// It is a sibling, whose parent sees its end: systemd.
func TestASuccessorHasTheParentOfThisProcess(t *testing.T) {
	s := successor(t, "serves", tcpListener(t))
	if err := s.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if want := fmt.Sprintf("\nPPid:\t%d\n", os.Getppid()); err != nil || !strings.Contains(string(status), want) {
		t.Errorf("want %q, %v, in\n%s", want, err, status)
	}
}

// The passing must not turn our socket blocking: then a deadline would not wake us.
func TestTheListenerOfThePredecessorStaysUsable(t *testing.T) {
	l := tcpListener(t)
	s := successor(t, "hangs", l)
	accepted := make(chan struct{})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			fmt.Fprint(c, "ours")
			c.Close()
		}
	}()
	if got := hello(t, l); got != "ours" {
		t.Errorf("served %q", got)
	}
	if err := l.Listener.(*net.TCPListener).SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-accepted:
	case <-time.After(20 * time.Second):
		t.Fatal("a deadline does not wake the listener")
	}
	s.End(time.Minute)
}

func TestWhatKeepsASuccessorFromServingIsSaid(t *testing.T) {
	short, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, fmt.Errorf("it took too long"))
	defer cancel()
	cases := []struct {
		how  string
		ctx  context.Context
		want string
	}{
		{"refuses", t.Context(), "the new process ended before it served"},
		{"gives up", t.Context(), "the new process does not serve: no reason"},
		{"hangs", short, "the new process does not serve: it took too long"},
	}
	for _, c := range cases {
		t.Run(c.how, func(t *testing.T) {
			if err := successor(t, c.how, tcpListener(t)).AwaitReady(c.ctx); err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestASuccessorThatCrashesSoonIsNoticed(t *testing.T) {
	s := successor(t, "crashes", tcpListener(t))
	if err := s.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Try(t.Context(), time.Hour); err == nil || err.Error() != "the new process ended as soon as it served" {
		t.Errorf("it is well: %v", err)
	}
}

func TestATrialEndsWithItsContext(t *testing.T) {
	s := successor(t, "serves", tcpListener(t))
	if err := s.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Try(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("the trial ended with %v", err)
	}
}

func TestAnUnwantedSuccessorIsEnded(t *testing.T) {
	for _, how := range []string{"serves", "hangs", "hangs on"} {
		t.Run(how, func(t *testing.T) {
			s := successor(t, how, tcpListener(t))
			patience := time.Minute
			if how == "hangs on" {
				patience = 100 * time.Millisecond
			}
			s.End(patience)
			late := time.After(20 * time.Second)
			for !hasEnded(s.PID()) {
				select {
				case <-late:
					t.Fatal("it lives")
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
}

// hasEnded is true for a process that nobody has waited for, too.
func hasEnded(pid int) bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(state), ") Z ")
}

func TestAProgramThatCannotBeStarted(t *testing.T) {
	dir := t.TempDir()
	files := map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"not executable": {"#!/bin/sh\n", 0o644, "permission denied"},
		"of no kind":     {"\x7fELF\x02\x01\x01", 0o755, "exec format error"},
	}
	for name, f := range files {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(f.content), f.mode); err != nil {
				t.Fatal(err)
			}
			cannotStart(t, path, f.want)
		})
	}
	t.Run("absent", func(t *testing.T) { cannotStart(t, filepath.Join(dir, "absent"), "no such file or directory") })
}

func cannotStart(t *testing.T, path, want string) {
	t.Helper()
	_, err := systemd.StartSuccessor(systemd.Program{Path: path, Args: []string{path}, Listeners: []systemd.Listener{tcpListener(t)}})
	if err == nil || !strings.HasPrefix(err.Error(), "starting "+path+": ") || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestInheritWithoutAPredecessor(t *testing.T) {
	if p, err := systemd.InheritFromPredecessor(); p != nil || err != nil {
		t.Errorf("got %v, %v", p, err)
	}
}
