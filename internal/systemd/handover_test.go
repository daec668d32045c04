package systemd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/systemd"
)

// asSuccessor makes the test binary a successor that behaves as its value says.
const asSuccessor = "OAUTH_PROXYD_TEST_SUCCESSOR"

// succeed serves on what it inherits, once asked to: each connection gets the name of its listener
// and how the process behaves.
func succeed(how string) (code int) {
	if how == "leaves" {
		return 78
	}
	i, err := systemd.Inherit()
	p := i.Predecessor
	if err != nil || p == nil || os.Getenv("OAUTH_PROXYD_HANDOVER") != "" {
		fmt.Fprintln(os.Stderr, "nothing inherited:", err)
		return 1
	}
	switch how {
	case "hangs":
		<-time.After(time.Hour)
	case "fails":
		p.Fail("no\nreason")
		return 78
	}
	p.Done()
	if how == "stops" {
		p.Fail("it is stopping")
		return 0
	}
	for {
		m, err := p.Next()
		switch {
		case err != nil:
			return 0
		case how == "crashes":
			return 3
		case how == "fails later":
			p.Fail("it is stopping")
		case m.TakeOver != nil:
			for _, l := range i.Listeners {
				go greet(l, l.Name+" knows "+strconv.Itoa(len(m.TakeOver)))
			}
			p.Done()
		case m.Report != nil:
			fmt.Println(string(m.Report))
		}
	}
}

func greet(l net.Listener, text string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(c, text)
		c.Close()
	}
}

// successor starts a successor with the listeners, and ends it with the test.
func successor(t *testing.T, how string, listeners ...systemd.Listener) *systemd.Successor {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := systemd.StartSuccessor(&exec.Cmd{
		Path: exe, Args: []string{exe}, Env: append(os.Environ(), asSuccessor+"="+how, "GORACE=atexit_sleep_ms=0"),
	}, listeners)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// ready returns a successor that is ready to take over.
func ready(t *testing.T, how string, listeners ...systemd.Listener) *systemd.Successor {
	t.Helper()
	s := successor(t, how, listeners...)
	if err := s.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
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

// greeting returns what a connection to l receives.
func greeting(t *testing.T, l net.Listener) string {
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

func TestSuccessorTakesOver(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first, second := tcpListener(t), systemd.Listener{Name: "second", Listener: l}
	s := ready(t, "serves", first, second)
	const large = 4 << 20 // more than the channel holds
	if err := s.TakeOver(t.Context(), strings.Repeat("x", large-2)); err != nil {
		t.Error(err)
	}
	if a, b := greeting(t, first), greeting(t, second); a != "proxy knows 4194304" || b != "second knows 4194304" {
		t.Errorf("served %q and %q", a, b)
	}
	if err := s.Report([]int{1}); err != nil {
		t.Error(err)
	}
	s.Close()
	wantEnd(t, s) // it sees the end of this one
}

// The successor is a sibling, so that systemd, its parent, sees its end.
func TestSuccessorHasOurParent(t *testing.T) {
	s := ready(t, "serves", tcpListener(t))
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID))
	if want := fmt.Sprintf("\nPPid:\t%d\n", os.Getppid()); err != nil || !strings.Contains(string(status), want) {
		t.Errorf("want %q, %v, in\n%s", want, err, status)
	}
}

// Passing on the socket must not make ours blocking, because a deadline would not wake it then.
func TestListenerStaysUsableAfterPassing(t *testing.T) {
	l := tcpListener(t)
	successor(t, "leaves", l)
	ended := make(chan struct{})
	go func() {
		greet(l, "ours")
		close(ended)
	}()
	if got := greeting(t, l); got != "ours" {
		t.Errorf("served %q", got)
	}
	if err := l.Listener.(*net.TCPListener).SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("a deadline does not wake the listener")
	}
}

func TestSuccessorThatDoesNotServe(t *testing.T) {
	short, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("it took too long"))
	defer cancel()
	for _, c := range []struct {
		how  string
		ctx  context.Context
		want string
	}{
		{"leaves", t.Context(), "the new process ended before it served"},
		{"fails", t.Context(), "the new process does not serve: no\nreason"},
		{"hangs", short, "the new process does not serve: it took too long"},
	} {
		t.Run(c.how, func(t *testing.T) {
			if err := successor(t, c.how, tcpListener(t)).AwaitReady(c.ctx); err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestSuccessorFailsToTakeOver(t *testing.T) {
	for how, want := range map[string]string{
		"crashes":     "the new process ended as soon as it served",
		"fails later": "the new process does not serve: it is stopping",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := ready(t, how, tcpListener(t))
			if err := s.TakeOver(t.Context(), 1); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			s.Kill()
			wantEnd(t, s)
		})
	}
}

func TestSuccessorEndsBeforeItTakesOver(t *testing.T) {
	s := ready(t, "stops", tcpListener(t))
	wantEnd(t, s)
	const want = "the new process does not serve: it is stopping"
	if err := s.TakeOver(t.Context(), 1); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A new process that is stopped neither reads nor responds.
func TestTakeOverEndsWithItsContext(t *testing.T) {
	s := ready(t, "serves", tcpListener(t))
	if err := syscall.Kill(s.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("it took too long"))
	defer cancel()
	for _, memory := range []string{"small", strings.Repeat("x", 4<<20)} {
		if err := s.TakeOver(ctx, memory); err == nil {
			t.Error("a stopped process took over")
		}
	}
}

// wantEnd waits until a process has ended, or is a zombie.
func wantEnd(t *testing.T, s *systemd.Successor) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID))
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		select {
		case <-late:
			t.Fatal("it lives")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestProgramThatCannotBeStarted(t *testing.T) {
	dir := t.TempDir()
	for name, f := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"not executable": {"#!/bin/sh\n", 0o644, "permission denied"},
		"of no kind":     {"\x7fELF\x02\x01\x01", 0o755, "exec format error"},
		"absent":         {"", 0, "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if f.mode != 0 {
				if err := os.WriteFile(path, []byte(f.content), f.mode); err != nil {
					t.Fatal(err)
				}
			}
			_, err := systemd.StartSuccessor(&exec.Cmd{Path: path, Args: []string{path}}, []systemd.Listener{tcpListener(t)})
			if err == nil || !strings.HasPrefix(err.Error(), "starting "+path+": ") || !strings.Contains(err.Error(), f.want) {
				t.Errorf("got %v, want %s", err, f.want)
			}
		})
	}
}
