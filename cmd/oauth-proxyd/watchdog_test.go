package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

// probed is a service with a watchdog that probes the test, which listens in place of the first
// socket. Requests go to the second one.
type probed struct {
	*service
	path, aside string        // of the first socket: where the watchdog looks, where it is
	probes      chan net.Conn // those of the watchdog
}

func newProbed(t *testing.T, config string) *probed {
	t.Helper()
	dir := daemontest.TempDir(t)
	p := &probed{path: filepath.Join(dir, "http.sock"), aside: filepath.Join(dir, "aside.sock"), probes: make(chan net.Conn)}
	l, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	p.service = start(t, unit{
		config: config, env: []string{"WATCHDOG_USEC=100000"},
		sockets: []*daemontest.Socket{daemontest.Hold(t, "first", l), daemontest.Listen(t, "proxy")},
	})
	if err := os.Rename(p.path, p.aside); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *probed) url() string { return p.unit.sockets[1].URL() }

// listen accepts probes, one at a time, for next.
func (p *probed) listen() {
	p.t.Helper()
	l, err := net.Listen("unix", p.path)
	if err != nil {
		p.t.Fatal(err)
	}
	done, quit := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case p.probes <- c:
			case <-quit:
				c.Close()
			}
		}
	}()
	p.t.Cleanup(func() { close(quit); l.Close(); <-done })
}

func (p *probed) next() net.Conn {
	p.t.Helper()
	select {
	case c := <-p.probes:
		p.t.Cleanup(func() { c.Close() })
		return c
	case <-time.After(daemontest.Patience):
		p.t.Fatal("the watchdog asks no more")
		return nil
	}
}

// fed waits for several WATCHDOG=1.
func (p *probed) fed() {
	p.t.Helper()
	for range 4 {
		p.notes.Next(p.t, "WATCHDOG=1")
	}
	if n := p.log.Count("systemd's watchdog restarts the service"); n > 0 {
		p.t.Error("it gives itself up")
	}
}

func TestWatchdogIgnoresConnectFailures(t *testing.T) {
	t.Parallel()
	newProbed(t, forwarding("http://127.0.0.1:9", "", withoutTailnet)).fed() // where it looks there is nothing
}

func TestWatchdogNeedsTwoLostProbes(t *testing.T) {
	t.Parallel()
	p := newProbed(t, forwarding("http://127.0.0.1:9", "", withoutTailnet))
	p.listen()
	for range 3 {
		p.next().Close()
		probe := p.next()
		if _, err := http.ReadRequest(bufio.NewReader(probe)); err != nil { // left unread it would break the connection
			t.Fatal(err)
		}
		if _, err := io.WriteString(probe, "HTTP/1.1 500 Any status\r\nContent-Length: 0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		probe.Close()
		p.fed()
	}
	p.next().Close()
	p.next().Close()
	p.log.Next(t, "systemd's watchdog restarts the service", `"probes":2`)
}

func TestWatchdogProbeTimeout(t *testing.T) {
	t.Parallel()
	p := newProbed(t, forwarding("http://127.0.0.1:9", "", withoutTailnet))
	p.listen()
	for range 2 {
		c, began := p.next(), time.Now()
		if _, err := io.Copy(io.Discard, c); err != nil { // until the watchdog hangs up
			t.Fatal(err)
		}
		if took := time.Since(began).Round(time.Second); took < 5*time.Second || took > 10*time.Second {
			t.Errorf("it waited %v for a response", took)
		}
	}
	p.log.Next(t, "systemd's watchdog restarts the service", `"probes":2`)
}

func TestWatchdogProbeIsExempt(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	p := newProbed(t, forwarding(u.URL, "max_connections = 1\n  queue_limit = 0", withoutTailnet))
	wait := background(t, newClient(t), "GET", p.url()+"/wait", "")
	u.await(t)
	get(t, p.url()+"/echo").Want(t, 503)
	p.log.Next(t, `"outcome":`)
	p.configure(forwarding(u.URL, "max_connections = 1\n  queue_limit = 0", withoutTailnet, "access {\n  allow = [\"tailnet\"]\n}\n"))
	if code, _, errs := p.command("reload"); code != 0 {
		t.Fatal(errs)
	}
	p.listen()
	for range 3 {
		if status := p.pass(p.next()); status != http.StatusOK {
			t.Errorf("a probe gets %d", status)
		}
	}
	u.open()
	wait()
	p.stop()
	if n := p.log.Count(`"outcome":`); n != 2 {
		t.Errorf("%d requests are logged instead of 2", n)
	}
}

// pass sends a probe to the first socket and returns the status of the response.
func (p *probed) pass(probe net.Conn) (status int) {
	p.t.Helper()
	defer probe.Close()
	request, err := http.ReadRequest(bufio.NewReader(probe))
	if err != nil {
		p.t.Fatal(err)
	}
	real, err := net.Dial("unix", p.aside)
	if err != nil {
		p.t.Fatal(err)
	}
	defer real.Close()
	if err := request.Write(real); err != nil {
		p.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(real), request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	_ = response.Write(probe) // the watchdog hangs up when it has the status
	return response.StatusCode
}

func TestWatchdogWhileDraining(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	p := newProbed(t, forwarding(u.URL, `drain_timeout = "1m"`, withoutTailnet))
	p.listen()
	wait := background(t, newClient(t), "GET", p.url()+"/wait", "")
	u.await(t)
	p.next().Close()
	hangs := p.next() // the second that is lost, during the drain
	p.signal(syscall.SIGTERM)
	p.notes.Next(t, "STOPPING=1")
	hangs.Close()
	p.fed()
	select {
	case <-p.probes:
		t.Error("it asks while it drains")
	default:
	}
	u.open()
	wait().Want(t, 200)
	p.wantExit(0)
	if strings.Contains(p.log.Text(), "systemd's watchdog restarts the service") {
		t.Error("it gave itself up while it drained")
	}
}
