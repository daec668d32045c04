package main_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

func TestReadyWithinASecond(t *testing.T) {
	u := newUpstream(t) // not in parallel: the time counts
	s := newService(t, unit{config: forwarding(u.URL, "", onTailnet(runTailscaled(t, "Running"), "exit"), mergeBeta)})
	began := time.Now()
	s.run()
	s.notes.Next(t, "READY=1", "tailnet connected")
	if took := time.Since(began); took > time.Second {
		t.Errorf("ready after %v", took)
	} else {
		t.Logf("ready after %v", took)
	}
}

func TestServesWithoutAdminSocket(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{
		config: forwarding(u.URL, "", withoutTailnet), nobody: true,
		env: []string{"RUNTIME_DIRECTORY=/proc/none"},
	})
	s.log.Next(t, "no admin socket")
	get(t, s.url()+"/echo").Want(t, 200, "GET /echo")
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestStaleAdminSocketIsReplaced(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	s.signal(os.Kill)
	s.exit()
	if code, _, errs := s.command("reload"); code != 69 || !strings.Contains(errs, "is not running") {
		t.Errorf("nobody there: %d %s", code, errs)
	}
	s.run()
	s.notes.Next(t, "READY=1")
	if code, _, errs := s.command("reload"); code != 0 {
		t.Errorf("after a new start: %d %s", code, errs)
	}
}

func TestReloadRestoresAdminSocket(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	socket := filepath.Join(s.dir, "admin.sock")
	if err := errors.Join(os.Remove(socket), os.Mkdir(socket, 0o700)); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	s.log.Next(t, "no admin socket", "admin.sock")
	s.notes.Next(t, "STATUS=Reloading the configuration")
	s.notes.Next(t, "READY=1")
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	s.configure("nonsense") // even a reload that is refused
	s.signal(syscall.SIGHUP)
	s.notes.Next(t, "READY=1")
	if code, out, errs := s.command("status"); code != 0 || !strings.Contains(out, "the last reload was refused") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if code := s.stop(); code != 0 || exists(socket) {
		t.Errorf("exit code %d, or the socket is left", code)
	}
}

func TestLiveAdminSocketIsLeftAlone(t *testing.T) {
	t.Parallel()
	first := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	second := start(t, unit{
		config: forwarding("http://127.0.0.1:10", "", withoutTailnet),
		env:    []string{"RUNTIME_DIRECTORY=" + first.dir},
	})
	second.log.Next(t, "no admin socket", "in use by another daemon")
	second.stop()
	if code, _, errs := first.command("reload"); code != 0 {
		t.Errorf("the first daemon is cut off from its commands: %d %s", code, errs)
	}
}

func TestUpstreamThatIsOurselves(t *testing.T) {
	t.Parallel()
	p := daemontest.Listen(t, "proxy")
	s := newService(t, unit{config: forwarding(p.URL(), "", withoutTailnet), sockets: []*daemontest.Socket{p}})
	s.run()
	s.wantExit(78)
	s.log.Next(t, "own socket")
}
