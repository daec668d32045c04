package main_test

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/faketailscaled"
)

// absent, refusing, hanging and garbled are broken sockets of tailscaled.
func absent(t *testing.T) *tailscaled { t.Helper(); return newTailscaled(t) }

func refusing(t *testing.T) *tailscaled {
	t.Helper()
	d := newTailscaled(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as if it were killed
	l.Close()
	return d
}

func garbled(t *testing.T) *tailscaled {
	t.Helper()
	d := newTailscaled(t)
	d.SetStatus("<html>not tailscaled</html>")
	d.run(t)
	return d
}

func hanging(t *testing.T) *tailscaled {
	t.Helper()
	d := runTailscaled(t, "Running")
	d.Hang()
	return d
}

func in(state string) func(*testing.T) *tailscaled {
	return func(t *testing.T) *tailscaled { t.Helper(); return runTailscaled(t, state) }
}

func TestExitOnPermanentTailnetError(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name       string
		tailscaled func(*testing.T) *tailscaled
		code       int
		fix        string
	}{
		{"NeedsLogin", in("NeedsLogin"), 77, "tailscale login"},
		{"NeedsMachineAuth", in("NeedsMachineAuth"), 77, "approve this node"},
		{"Stopped", in("Stopped"), 69, "tailscale up"},
		{"absent", absent, 69, "systemctl start tailscaled"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, unit{
				config:  forwarding("http://127.0.0.1:9", "", onTailnet(row.tailscaled(t), "exit")),
				args:    []string{"--listen", "127.0.0.1:0"},
				sockets: []*daemontest.Socket{},
				env:     []string{"PATH=" + pathWithoutTailscale(t)},
			})
			s.run()
			s.wantExit(row.code)
			s.notes.Next(t, "STATUS=Gave up", row.fix)
			if n := s.notes.Count("READY=1") + s.notes.Count("EXTEND_TIMEOUT_USEC"); n > 0 {
				t.Error("READY=1 or a retry before it left")
			}
			s.wantNoLoginURL()
		})
	}
}

func TestRefusalIsDelayedWithSockets(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, config string
		code         int
	}{
		{"tailnet", forwarding("http://127.0.0.1:9", "", onTailnet(runTailscaled(t, "Stopped"), "exit")), 69},
		{"login", forwarding("http://127.0.0.1:9", "", onTailnet(runTailscaled(t, "NeedsLogin"), "exit")), 77},
		{"configuration", "nonsense", 78},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, unit{config: row.config})
			began := time.Now()
			s.run()
			s.wantExit(row.code)
			if took := time.Since(began); took < 2*time.Second {
				t.Errorf("left after %v; systemd would start it again at once, and again", took)
			}
		})
	}
}

func TestStopDuringRefusalDelay(t *testing.T) {
	t.Parallel()
	s := newService(t, unit{config: "nonsense"})
	for range 5 { // a busy machine may need the time for other things
		began := time.Now()
		s.run()
		s.notes.Next(t, "STATUS=The configuration is refused")
		s.signal(syscall.SIGTERM)
		s.wantExit(78)
		if time.Since(began) < 2*time.Second {
			return
		}
	}
	t.Error("it waits although it is to stop")
}

func TestExitAfterRetries(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name       string
		tailscaled func(*testing.T) *tailscaled
	}{
		{"Starting", in("Starting")},
		{"NoState", in("NoState")},
		{"a state of the future", in("Dreaming")},
		{"refusing", refusing},
		{"garbled", garbled},
		{"hanging", hanging},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, unit{
				config: forwarding("http://127.0.0.1:9", "", onTailnet(row.tailscaled(t), "exit")),
				env:    []string{"PATH=" + pathWithoutTailscale(t)},
			})
			s.run()
			for _, usec := range []string{"11000000", "12000000"} { // 1 s and 2 s, and time for the attempt
				if got := daemontest.Field(s.notes.Next(t, "EXTEND_TIMEOUT_USEC"), "EXTEND_TIMEOUT_USEC"); got != usec {
					t.Errorf("the start may take %s µs longer, want %s", got, usec)
				}
			}
			s.signal(syscall.SIGTERM) // a stop while it connects is a clean one
			s.wantExit(0)
			s.notes.Next(t, "STOPPING=1")
			if n := s.notes.Count("READY=1"); n > 0 {
				t.Error("READY=1 without a tailnet")
			}
		})
	}
}

func TestExitModeServesWhenTailnetIsUp(t *testing.T) {
	t.Parallel()
	d := runTailscaled(t, "Starting")
	u := newUpstream(t)
	s := newService(t, unit{config: forwarding(u.URL, "", onTailnet(d, "exit"))})
	s.run()
	s.notes.Next(t, "EXTEND_TIMEOUT_USEC")
	d.Become("Running")
	s.notes.Next(t, "READY=1", "tailnet connected as box.tail.ts.net")
	get(t, s.url()+"/health").Want(t, 200, `"tailnet": "connected"`)
}

func TestWaitModeServesDegraded(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name       string
		tailscaled func(*testing.T) *tailscaled
		fix        string
		same       int // status for tailscaled's own user; 0: it depends on other tailscaleds of this machine
	}{
		{"NeedsLogin", in("NeedsLogin"), "tailscale login", 200},
		{"NeedsMachineAuth", in("NeedsMachineAuth"), "approve this node", 200},
		{"Stopped", in("Stopped"), "tailscale up", 200},
		{"Starting", in("Starting"), "has not come up yet", 200},
		{"NoState", in("NoState"), "has not come up yet", 200},
		{"absent", absent, "systemctl start tailscaled", 0},
		{"refusing", refusing, "systemctl start tailscaled", 0},
		{"garbled", garbled, "journalctl -u tailscaled", 503},
		{"hanging", hanging, "systemctl restart tailscaled", 503},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			s := newService(t, unit{
				config: forwarding(u.URL, "", onTailnet(row.tailscaled(t), "wait")),
				env:    []string{"PATH=" + pathWithoutTailscale(t)},
			})
			s.run()
			if ready := s.notes.Next(t, "READY=1"); !strings.Contains(ready, row.fix) {
				t.Errorf("the status does not name how to fix it: %q", ready)
			}
			if row.same != 0 {
				get(t, s.url()+"/echo").Want(t, row.same)
			}
			h := getAs(t, anotherUser, s.url()+"/health")
			h.Want(t, 503, `"status": "degraded"`, `"tailnet": "not_connected"`)
			m := getAs(t, anotherUser, s.url()+"/metrics")
			m.Want(t, 200, "\ntailnet_connected 0\n")
			getAs(t, anotherUser, s.url()+"/echo").Want(t, 200, "GET /echo") // this host is served
			s.wantNoLoginURL(h.Body, m.Body)
			if code := s.stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// soon is how fast the daemon must notice that the tailnet is up.
const soon = 2 * time.Second

func TestTailnetComesUp(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		before func(*testing.T) *tailscaled
		comes  func(*testing.T, *tailscaled)
	}{
		{"a user logs in", in("NeedsLogin"), func(_ *testing.T, d *tailscaled) { d.Become("Running") }},
		{"tailscale up", in("Stopped"), func(_ *testing.T, d *tailscaled) { d.Become("Running") }},
		{"the boot goes on", in("NoState"), func(_ *testing.T, d *tailscaled) { d.Become("Running") }},
		{"tailscaled starts", absent, func(t *testing.T, d *tailscaled) { d.Become("Running"); d.run(t) }},
		{"tailscaled starts again after a crash", refusing, func(t *testing.T, d *tailscaled) {
			os.Remove(d.path)
			d.Become("Running")
			d.run(t)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			d := row.before(t)
			s := newService(t, unit{
				config: forwarding("http://127.0.0.1:9", "", onTailnet(d, "wait")),
				env:    []string{"PATH=" + pathWithoutTailscale(t)},
			})
			s.run()
			s.notes.Next(t, "READY=1", "not connected")
			began := time.Now()
			row.comes(t, d)
			s.notes.Next(t, "tailnet connected as box.tail.ts.net")
			if took := time.Since(began); took > soon {
				t.Errorf("noticed after %v", took)
			}
			get(t, s.url()+"/health").Want(t, 200, `"status": "healthy"`, `"tailnet_ip": "100.64.0.7"`)
		})
	}
}

func TestTailnetGoesDown(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	d := runTailscaled(t, "Running")
	s := start(t, unit{config: forwarding(u.URL, "", onTailnet(d, "exit"))})
	get(t, s.url()+"/health").Want(t, 200, `"status": "healthy"`)
	d.Become("NeedsLogin")
	s.notes.Next(t, "STATUS=", "not connected", "tailscale login")
	h := get(t, s.url()+"/health")
	h.Want(t, 503, `"status": "degraded"`, `"tailnet_backend_state": "NeedsLogin"`)
	s.wantNoLoginURL(h.Body)
	s.log.Next(t, faketailscaled.LoginURL) // for the operator
	get(t, s.url()+"/echo").Want(t, 200)
	d.Close()
	s.notes.Next(t, "STATUS=", "tailscaled is not running")
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestTailnetNotRequired(t *testing.T) {
	t.Parallel()
	s := start(t, unit{
		config: forwarding("http://127.0.0.1:9", "", withoutTailnet),
		env:    []string{"TAILSCALE_SOCKET=" + hanging(t).path},
	})
	h := get(t, s.url()+"/health")
	h.Want(t, 200, `"status": "healthy"`, `"tailnet": "disabled"`)
}

func TestReloadChangesTailnetRequired(t *testing.T) {
	t.Parallel()
	d := runTailscaled(t, "Stopped")
	required := forwarding("http://127.0.0.1:9", "", onTailnet(d, "wait"))
	free := strings.Replace(required, "when_down", "required = false\n  when_down", 1)
	s := start(t, unit{config: free})
	get(t, s.url()+"/health").Want(t, 200, `"tailnet": "disabled"`)
	s.configure(required)
	if code, out, _ := s.command("reload"); code != 0 || strings.Contains(out, "restart") {
		t.Fatalf("reload: %d %s", code, out)
	}
	s.notes.Next(t, "STATUS=", "tailscale up")
	get(t, s.url()+"/health").Want(t, 503, `"tailnet": "not_connected"`)
	d.Become("Running")
	s.notes.Next(t, "STATUS=", "tailnet connected")
	s.configure(free)
	if code, _, errs := s.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	get(t, s.url()+"/health").Want(t, 200, `"tailnet": "disabled"`)
	s.configure(required)
	if code, _, errs := s.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	// Nothing has changed since it was last followed, so nothing new is reported.
	daemontest.Eventually(t, "known again", func() bool {
		return get(t, s.url()+"/health").Object(t)["tailnet"] == "connected"
	})
}

func TestReloadDuringStart(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	d := runTailscaled(t, "Starting")
	s := newService(t, unit{config: forwarding(u.URL, "", onTailnet(d, "exit"), adding("old"))})
	s.run()
	s.notes.Next(t, "EXTEND_TIMEOUT_USEC")
	s.configure(forwarding(u.URL, "", onTailnet(d, "exit"), adding("new")))
	codes := make(chan int, 1)
	go func() {
		code, _, _ := s.command("reload")
		codes <- code
	}()
	d.Become("Running")
	if code := <-codes; code != 0 {
		t.Errorf("exit code %d", code)
	}
	get(t, s.url()+"/echo").Want(t, 200, `beta="new"`)
}

// pathWithoutTailscale returns a PATH with the program under test and without tailscale.
func pathWithoutTailscale(t *testing.T) string {
	t.Helper()
	dir, _, _ := strings.Cut(os.Getenv("PATH"), ":")
	return dir
}

// wantNoLoginURL wants no text to have the login URL.
func (s *service) wantNoLoginURL(others ...string) {
	s.t.Helper()
	for _, text := range append(others, s.notes.Text()) {
		if strings.Contains(text, faketailscaled.LoginURL) || strings.Contains(text, "5ecre7109in") {
			s.t.Errorf("the login URL is in %q", text)
		}
	}
}

// TestKeyNoticeIsLoggedOnce restarts tailscaled while its key is about to expire.
func TestKeyNoticeIsLoggedOnce(t *testing.T) {
	t.Parallel()
	d := runTailscaled(t, "Running")
	d.Expire(time.Now().Add(10 * 24 * time.Hour).Format(time.RFC3339))
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", onTailnet(d, "wait"))})
	s.log.Next(t, "expires soon")
	d.Close()
	s.log.Next(t, "the tailnet is not connected")
	d.run(t)
	s.log.Next(t, "the tailnet is connected", `"addresses":"100.64.0.7"`)
	d.Close()
	s.log.Next(t, "the tailnet is not connected")
	if n := s.log.Count("expires soon"); n != 1 {
		t.Errorf("it is logged %d times", n)
	}
}
