package main_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hangFile makes the configuration a file whose reading takes for ever, as on a file
// server that is gone.
func (s *service) hangFile() {
	s.t.Helper()
	if err := os.Remove(s.file()); err != nil {
		s.t.Fatal(err)
	}
	if err := syscall.Mkfifo(s.file(), 0o666); err != nil {
		s.t.Fatal(err)
	}
}

func TestAFileThatHangsKeepsNobodyFromStopping(t *testing.T) {
	t.Parallel()
	t.Run("at the start", func(t *testing.T) {
		t.Parallel()
		s := newService(t, unit{})
		s.hangFile()
		s.run()
		s.openFile() // it is being read
		s.stopsSoon()
	})
	t.Run("in a reload", func(t *testing.T) {
		t.Parallel()
		s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
		s.hangFile()
		s.signal(syscall.SIGHUP)
		s.notes.next(t, "RELOADING=1")
		get(t, s.url()+"/health").want(t, 200) // it serves meanwhile
		s.stopsSoon()
	})
}

// openFile waits for somebody to read the hanging file.
func (s *service) openFile() {
	s.t.Helper()
	f, err := os.OpenFile(s.file(), os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { f.Close() })
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

func TestAReloadIsToldAtOnceThatTheDaemonStops(t *testing.T) {
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
	s.notes.next(t, "RELOADING=1")
	s.signal(syscall.SIGTERM)
	for range cap(outcomes) {
		if errs := <-outcomes; !strings.Contains(errs, "draining") {
			t.Errorf("the reload says %q", errs)
		}
	}
	u.open() // only now
	wait().want(t, 200)
	s.wantExit(0)
}
