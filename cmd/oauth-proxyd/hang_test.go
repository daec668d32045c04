package main_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hangFile replaces the configuration by a pipe that is never closed. Reading it hangs, as on a
// file server that is gone.
func (s *service) hangFile() (writer *os.File) {
	s.t.Helper()
	if err := os.Remove(s.file()); err != nil {
		s.t.Fatal(err)
	}
	if err := syscall.Mkfifo(s.file(), 0o666); err != nil {
		s.t.Fatal(err)
	}
	writer, err := os.OpenFile(s.file(), os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { writer.Close() })
	return writer
}

// awaitReader waits until a process reads the hanging file: it writes more than a pipe holds
// (pipe(7)).
func awaitReader(t *testing.T, writer *os.File) {
	t.Helper()
	if _, err := writer.WriteString(strings.Repeat("#", 64<<10+1)); err != nil {
		t.Fatal(err)
	}
}

func TestStopWhileAFileHangs(t *testing.T) {
	t.Parallel()
	t.Run("at the start", func(t *testing.T) {
		t.Parallel()
		s := newService(t, unit{})
		writer := s.hangFile()
		s.run()
		awaitReader(t, writer)
		s.stopsSoon()
	})
	t.Run("in a reload", func(t *testing.T) {
		t.Parallel()
		s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
		s.hangFile()
		s.signal(syscall.SIGHUP)
		s.notes.Next(t, "RELOADING=1")
		get(t, s.url()+"/health").Want(t, 200) // it serves meanwhile
		s.stopsSoon()
	})
}

func (s *service) stopsSoon() {
	s.t.Helper()
	began := time.Now()
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
	if took := time.Since(began); took > 5*time.Second {
		s.t.Errorf("from the signal to the exit: %v", took)
	}
}

func TestReloadFailsWhenStopping(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, `drain_timeout = "1m"`, withoutTailnet)})
	wait := background(t, newClient(t), "GET", s.url()+"/wait", "")
	u.await(t)
	s.hangFile()
	outcomes := make(chan string, 2)
	for range cap(outcomes) { // one under way, one that waits for it
		go func() {
			_, _, errs := s.command("reload")
			outcomes <- errs
		}()
	}
	s.notes.Next(t, "RELOADING=1")
	s.signal(syscall.SIGTERM)
	for range cap(outcomes) {
		if errs := <-outcomes; !strings.Contains(errs, "draining") {
			t.Errorf("the reload says %q", errs)
		}
	}
	u.open() // only now
	wait().Want(t, 200)
	s.wantExit(0)
}
