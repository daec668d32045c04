package main_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"oauth-proxyd/internal/daemontest"
)

// terminal is a pseudoterminal with a program of the service in it.
type terminal struct {
	*daemontest.Process
	*daemontest.Record // what the program wrote
	keyboard           *os.File
	read               chan struct{} // closed when everything that it wrote is in the Record
}

// onTerminal runs a command on a terminal of that size.
func (s *service) onTerminal(columns, rows uint16, env string, args ...string) terminal {
	s.t.Helper()
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(err)
	s.t.Cleanup(func() { _ = master.Close() })
	must(control(master, func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0) }))
	number := 0
	must(control(master, func(fd int) (err error) { number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); return err }))
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(err)
	defer tty.Close()
	x := terminal{Record: daemontest.NewRecord(), keyboard: master, read: make(chan struct{})}
	x.resize(s.t, columns, rows)
	c := exec.Command("oauth-proxyd", args...)
	c.Env = append(s.environment(), "TERM=xterm", env)
	c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	x.Process = daemontest.Start(s.t, c)
	s.reading.Go(func() {
		_, _ = io.Copy(x.Record, master) // until no program has the terminal
		close(x.read)
	})
	return x
}

// control calls f with the descriptor of a file that stays in Go's poller.
func control(f *os.File, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = call(int(fd)) }); err != nil {
		return err
	}
	return failed
}

func (x terminal) resize(t *testing.T, columns, rows uint16) {
	t.Helper()
	err := control(x.keyboard, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// interrupt presses Ctrl-C and returns everything that was written.
func (x terminal) interrupt(t *testing.T) string {
	t.Helper()
	if _, err := io.WriteString(x.keyboard, "\x03"); err != nil {
		t.Fatal(err)
	}
	if code := x.Exit(t); code != 0 {
		t.Errorf("Ctrl-C: exit code %d", code)
	}
	<-x.read
	return x.Text()
}

func TestStatusWatchMarksChanges(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := start(t, unit{config: forwarding(u.URL, "", withoutTailnet)})
	x := s.onTerminal(80, 24, "NO_COLOR=1", "status", "--watch")
	x.Next(t, "process")
	get(t, s.url()+"/echo").Want(t, 200)
	x.Next(t, "* upstream")
	out := x.interrupt(t)
	screens := strings.Split(out, "\x1b[H")
	if !strings.HasPrefix(out, "\x1b[?1049h\x1b[?25l") || len(screens) < 3 {
		t.Fatalf("%q", out)
	}
	if strings.Contains(screens[1], "* ") || !strings.Contains(screens[1], "  requests    0 of 1000 in flight") {
		t.Errorf("the first screen: %q", screens[1])
	}
	var marked []string
	for _, m := range regexp.MustCompile(`(?m)^\* (\w+)`).FindAllStringSubmatch(out, -1) {
		marked = append(marked, m[1])
	}
	if !slices.Contains(marked, "requests") || !slices.Contains(marked, "upstream") || slices.Contains(marked, "process") {
		t.Errorf("marked are %q in %q", marked, out)
	}
	_, last, _ := strings.Cut(out, "\x1b[?1049l\x1b[?25h")
	if !strings.HasPrefix(last, "healthy: serving") || strings.Contains(out, "\x1b[3") {
		t.Errorf("after Ctrl-C: %q", last)
	}
}

// A screen of another size is drawn at once, before the next status is due.
func TestStatusWatchFollowsTheWindow(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	x := s.onTerminal(60, 24, "", "status", "--watch")
	x.Next(t, "process ")
	took := time.Hour
	for range 5 { // on a busy machine, it may take longer
		resized := time.Now()
		x.resize(t, 120, 24)
		x.Next(t, "0 since the start, 0 failed, 0 refused\x1b[K")
		if took = time.Since(resized); took < time.Second {
			break
		}
		x.resize(t, 60, 24)
		x.Next(t, "0 since\x1b[K")
	}
	if took >= time.Second {
		t.Errorf("drawn again after %v", took)
	}
	x.resize(t, 60, 6)
	x.Next(t, "more lines; enlarge the window")
	all := strings.Split(x.interrupt(t), "\x1b[H")
	if !strings.Contains(all[1], "0 since\x1b[K\r\n") || !strings.Contains(all[1], "\x1b[32mhealthy\x1b[0m: ") {
		t.Errorf("on 60 columns: %q", all[1])
	}
	last, _, _ := strings.Cut(all[len(all)-1], "\x1b[J")
	if n := strings.Count(last, "\r\n"); n != 5 {
		t.Errorf("%d line breaks on 6 rows: %q", n, last)
	}
}

func TestStatusWatchOnADumbTerminal(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	x := s.onTerminal(80, 24, "TERM=dumb", "status", "--watch")
	x.Next(t, "process")
	x.resize(t, 100, 24)
	x.Next(t, "process")
	if out := x.interrupt(t); strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
}

// In a pipe each status is whole, as status writes it, and a daemon that ends is reported.
func TestStatusWatchInAPipe(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	c := exec.Command("oauth-proxyd", "status", "--watch")
	out := daemontest.NewRecord()
	c.Env, c.Stdout = s.environment(), out
	p := daemontest.Start(t, c)
	out.Next(t, "healthy: serving")
	out.Next(t, "process     ")
	s.stop()
	out.Next(t, "error: oauth-proxyd is not running")
	out.Next(t, "hint: start a daemon")
	p.Signal(t, syscall.SIGINT)
	if code := p.Exit(t); code != 0 || strings.Contains(out.Text(), "\x1b") {
		t.Errorf("%d %q", code, out.Text())
	}
	if code, _, errs := s.command("status", "--watch", "--json"); code != 64 || !strings.Contains(errs, "cannot be combined") {
		t.Errorf("%d %s", code, errs)
	}
}

// Ctrl-C does not wait for a daemon that hangs.
func TestStatusWatchEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := newService(t, unit{})
	l, err := net.Listen("unix", filepath.Join(s.dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x := s.onTerminal(80, 24, "", "status", "--watch")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pressed := time.Now()
	if out := x.interrupt(t); strings.Contains(out, "error") || time.Since(pressed) > 4*time.Second { // it gives up after 5 s
		t.Errorf("%s: %q", time.Since(pressed), out)
	}
}

// Waiting gives no permission.
func TestStatusWatchNeedsPermission(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	code, out, errs := s.commandAsNobody("status", "--watch")
	if code != 77 || out != "" || !strings.Contains(errs, "hint: run it as root or as a member of the group oauth-proxyd") {
		t.Errorf("%d %q %q", code, out, errs)
	}
}
