package siege

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience bounds what takes far less unless something hangs.
const patience = 20 * time.Second

// daemon is oauth-proxyd in a control group of its own, with the unit's environment and a listening
// socket such as systemd passes.
type daemon struct {
	address string
	group   *cgroup // nil where none can be made
	log     *lines
	cmd     *exec.Cmd
	exited  chan struct{}
}

// enter puts the shell into the control groups, raises its limit of open files as far as it may,
// and becomes the daemon. Only a process itself can set LISTEN_PID.
const enter = `for procs in $GROUPS_OF_DAEMON; do echo $$ >"$procs" || exit 71; done
ulimit -n "$FILES" 2>/dev/null || ulimit -n "$(ulimit -H -n)"
LISTEN_PID=$$ exec "$0" "$@"`

// startDaemon waits until the daemon serves. It listens on a free port of loopback.
func startDaemon(ctx context.Context, c Config, dir string) (d *daemon, err error) {
	d = &daemon{log: &lines{}, exited: make(chan struct{})}
	if c.Confined {
		if d.group, err = newCgroup(c.Limits); err != nil {
			return nil, err
		}
	}
	if err = d.start(c, dir); err != nil {
		return nil, errors.Join(err, d.group.close())
	}
	if err = d.awaitHealth(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the daemon: %w: %s", err, d.log.sample()), d.stop())
	}
	return d, nil
}

func (d *daemon) start(c Config, dir string) error {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer listener.Close() // only the daemon keeps it: if it dies, connections are refused
	socket, err := listener.File()
	if err != nil {
		return err
	}
	defer socket.Close()
	d.address = listener.Addr().String()
	d.cmd = exec.Command("sh", "-c", enter, c.Program, "serve", "--config", filepath.Join(dir, configFile), "--log-format", "json")
	d.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "RUNTIME_DIRECTORY=" + dir, "LISTEN_FDS=1", "LISTEN_FDNAMES=proxy",
		"FILES=" + strconv.FormatInt(c.Limits.Files, 10), "GROUPS_OF_DAEMON=" + strings.Join(d.group.procs(), " "),
	}, c.Limits.Environment...)
	d.cmd.ExtraFiles = []*os.File{socket}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = d.cmd.Wait() // how it ended is read from its state
		close(d.exited)
	}()
	return nil
}

// awaitHealth waits for the first response; connections wait in the socket until then.
func (d *daemon) awaitHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := get(ctx, d.address, "/health")
		failed <- err
	}()
	select {
	case err := <-failed:
		return err
	case <-d.exited:
		cancel()
		return errors.Join(errors.New(d.ending()), <-failed)
	}
}

// stop ends the daemon, by force if it does not end on its own, and removes its group.
func (d *daemon) stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-d.exited:
	case <-time.After(patience):
		_ = d.cmd.Process.Kill() // likewise
		<-d.exited
	}
	return d.group.close()
}

// ended reports whether the daemon is gone.
func (d *daemon) ended() bool {
	select {
	case <-d.exited:
		return true
	default:
		return false
	}
}

// ending says how the daemon ended, once it has.
func (d *daemon) ending() string {
	if d.group.outOfMemory() {
		return "killed by the kernel: out of memory"
	}
	return d.cmd.ProcessState.String()
}

// sockets is how many files and sockets the daemon has open.
func (d *daemon) sockets() int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid)) // none of a process that has ended
	return len(entries)
}

// Counters are what /metrics says of the daemon.
type Counters struct {
	InFlight   int // slots that are taken
	Goroutines int
}

// counters asks /metrics.
func (d *daemon) counters(ctx context.Context) (c Counters, err error) {
	text, err := get(ctx, d.address, "/metrics")
	if err != nil {
		return c, err
	}
	for name, number := range map[string]*int{"proxy_requests_in_flight ": &c.InFlight, "go_goroutines ": &c.Goroutines} {
		_, rest, found := bytes.Cut(text, []byte("\n"+name))
		value, _, _ := bytes.Cut(rest, []byte("\n"))
		if *number, err = strconv.Atoi(string(value)); !found || err != nil {
			return c, fmt.Errorf("/metrics has no %s", name)
		}
	}
	return c, nil
}

const configFile = "oauth-proxyd.hcl"

// configure writes the daemon's configuration: the defaults but for the timeouts, which are short
// so that the lab can wait for them, and for who is admitted.
func configure(dir, upstream, authority string, t Timeouts, attacker Who) error {
	allowed := strconv.Quote(admittedNetwork)
	if attacker == Admitted {
		allowed += `, "127.0.0.1/32"` // programs that cannot choose their address
	}
	return os.WriteFile(filepath.Join(dir, configFile), fmt.Appendf(nil, `
proxy {
  upstream_url            = %q
  upstream_ca_file        = %q
  response_header_timeout = %q
  idle_timeout            = %q
  queue_timeout           = %q
  drain_timeout           = "1s"
}
tailscale {
  required = false
}
access {
  allow = [%[6]s]
}
metrics {
  allow = [%[6]s]
}
`, upstream, authority, t.Header, t.Idle, t.Queue, allowed), 0o600)
}
