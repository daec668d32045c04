package handover_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oauth-proxyd/internal/handover"
)

// asChild makes the test binary a successor that behaves as its value says.
const asChild = "OAUTH_PROXYD_TEST_SUCCESSOR"

func TestMain(m *testing.M) {
	if how := os.Getenv(asChild); how != "" {
		os.Exit(succeed(how))
	}
	goleak.VerifyTestMain(m)
}

// succeed serves on what it inherits: each connection is told the name of its listener
// and whether all is ours.
func succeed(how string) (code int) {
	if how == "refuses" {
		return 78
	}
	p, err := handover.Inherit()
	if err != nil || p == nil || os.Getenv("OAUTH_PROXYD_HANDOVER") != "" {
		fmt.Fprintln(os.Stderr, "nothing inherited:", err)
		return 1
	}
	if how == "hangs" {
		<-time.After(time.Hour)
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
	if how == "gives up" {
		time.AfterFunc(100*time.Millisecond, func() { _ = p.Close() })
	}
	p.AwaitRelease()
	if how == "gives up" {
		return 0
	}
	if how == "crashes" {
		return 3
	}
	<-time.After(time.Hour) // a signal ends it
	return 0
}

// successor starts one in front of the listeners, and has it ended with the test.
func successor(t *testing.T, how string, listeners ...handover.Listener) *handover.Successor {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := handover.Start(handover.Config{
		Path: exe, Args: []string{exe}, Listeners: listeners,
		Env: append(os.Environ(), asChild+"="+how, "GORACE=atexit_sleep_ms=0"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Signal(os.Kill)
		<-s.Ended()
		s.Close()
	})
	return s
}

func tcp(t *testing.T) handover.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return handover.Listener{Name: "proxy", Listener: l}
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
	first, second := tcp(t), handover.Listener{Name: "second", Listener: l}
	s := successor(t, "serves", first, second)
	if err := s.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Only the successor accepts.
	if a, b := hello(t, first), hello(t, second); a != "proxy of serves" || b != "second of serves" {
		t.Errorf("served %q and %q", a, b)
	}
	if err := s.Release(); err != nil {
		t.Error(err)
	}
}

// The passing must not turn our socket blocking: then a deadline would not wake us.
func TestTheListenerOfThePredecessorStaysUsable(t *testing.T) {
	l := tcp(t)
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
	again, err := s.Listeners()
	if err != nil || len(again) != 1 || again[0].Name != "proxy" || again[0].Addr().String() != l.Addr().String() {
		t.Fatalf("opened again: %v, %v", again, err)
	}
	again[0].Close()
}

func TestWhatKeepsASuccessorFromServingIsSaid(t *testing.T) {
	short, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, fmt.Errorf("it took too long"))
	defer cancel()
	cases := []struct {
		how  string
		ctx  context.Context
		want string
	}{
		{"refuses", t.Context(), "the new process left with exit code 78"},
		{"hangs", short, "the new process does not serve: it took too long"},
	}
	for _, c := range cases {
		t.Run(c.how, func(t *testing.T) {
			if err := successor(t, c.how, tcp(t)).AwaitReady(c.ctx); err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestASuccessorThatCrashesLaterIsNoticed(t *testing.T) {
	s := successor(t, "crashes", tcp(t))
	if err := s.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err == nil || s.ExitCode() != 3 {
		t.Errorf("ended with %v, exit code %d", err, s.ExitCode())
	}
}

// One that is told to stop before it was told to take over waits no more for that.
func TestASuccessorCanGiveUpItsWait(t *testing.T) {
	s := successor(t, "gives up", tcp(t))
	if err := s.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

func TestASignalEndsASuccessor(t *testing.T) {
	s := successor(t, "serves", tcp(t))
	if err := s.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err == nil || s.ExitCode() != -1 || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("ended with %v", err)
	}
	if err := s.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("signalling one that has ended: %v", err)
	}
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
	_, err := handover.Start(handover.Config{Path: path, Args: []string{path}, Listeners: []handover.Listener{tcp(t)}})
	if err == nil || !strings.HasPrefix(err.Error(), "starting "+path+": ") || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestInheritWithoutAPredecessor(t *testing.T) {
	for name, value := range map[string]string{"none": "", "of another process": "1:proxy"} {
		t.Run(name, func(t *testing.T) {
			if value != "" {
				t.Setenv("OAUTH_PROXYD_HANDOVER", value)
			}
			if p, err := handover.Inherit(); p != nil || err != nil {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
}
