package proof_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/lab/tailnet"
)

const nobody = 65534

// setting is what a test decides about a daemon.
type setting struct {
	node     *tailnet.Node
	upstream string   // URL; empty: one that nobody asks
	whenDown string   // empty: wait
	proxy    string   // more of that block
	blocks   []string // more of the configuration
	env      []string // more of it, stronger than what there is
	nobody   bool     // runs without any right
}

// daemon is the program on a node, with a socket named proxy that a service manager
// holds, while its processes come and go.
type daemon struct {
	t        *testing.T
	setting  setting
	dir      string
	listener net.Listener
	file     *os.File
	log      *record
	notes    *record // to the service manager

	activated string // port that another holds for it

	cmd    *exec.Cmd
	exited chan struct{}
}

func newDaemon(t *testing.T, s setting) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "op") // short enough for sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, setting: s, dir: dir, log: newRecord()}
	d.notes = listenNotify(t, filepath.Join(dir, "notify"))
	d.listen()
	d.configure()
	t.Cleanup(d.end)
	return d
}

// start is newDaemon, run, and the wait for READY=1.
func start(t *testing.T, s setting) *daemon {
	t.Helper()
	d := newDaemon(t, s)
	d.run()
	d.notes.next(t, "READY=1")
	return d
}

// listen opens what peers reach: all addresses of a host with a TUN device, and
// loopback, from where tailscaled delivers them, without.
func (d *daemon) listen() {
	d.t.Helper()
	address := "127.0.0.1:0"
	if d.setting.node.HasTUN() {
		address = "[::]:0"
	}
	var err error
	if d.listener, err = d.setting.node.Listen("tcp", address); err != nil {
		d.t.Fatal(err)
	}
	if d.file, err = d.listener.(*net.TCPListener).File(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { d.file.Close(); d.listener.Close() })
}

func (d *daemon) configure() {
	d.t.Helper()
	s := d.setting
	if s.upstream == "" {
		s.upstream = "http://127.0.0.1:9"
	}
	if s.whenDown == "" {
		s.whenDown = "wait"
	}
	content := fmt.Sprintf("proxy {\n  upstream_url = %q\n  %s\n}\ntailscale {\n  when_down = %q\n}\n%s",
		s.upstream, s.proxy, s.whenDown, strings.Join(s.blocks, "\n"))
	if err := os.WriteFile(d.configFile(), []byte(content), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) configFile() string { return filepath.Join(d.dir, "oauth-proxyd.hcl") }

// run starts a process.
func (d *daemon) run() {
	d.t.Helper()
	// Only a process itself can say its id before it begins, see sd_listen_fds(3).
	script := `LISTEN_PID=$$ exec "$0" "$@"`
	args := []string{"-c", script, "oauth-proxyd", "serve", "--config", d.configFile(), "--log-format", "json"}
	if d.setting.nobody {
		args[1] = fmt.Sprintf(`exec setpriv --reuid=%[1]d --regid=%[1]d --clear-groups sh -c '%[2]s' "$0" "$@"`, nobody, script)
	}
	d.cmd = d.setting.node.Command("sh", args...)
	d.cmd.Env = append(d.cmd.Env, "NOTIFY_SOCKET="+filepath.Join(d.dir, "notify"), "RUNTIME_DIRECTORY="+d.dir,
		"LISTEN_FDS=1", "LISTEN_FDNAMES=proxy")
	d.cmd.Env = append(d.cmd.Env, d.setting.env...)
	d.cmd.ExtraFiles = []*os.File{d.file}
	d.begin()
}

// begin starts what is in cmd.
func (d *daemon) begin() {
	d.t.Helper()
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.exited = make(chan struct{})
	go func(c *exec.Cmd, exited chan struct{}) {
		_ = c.Wait() // the exit code tells
		close(exited)
	}(d.cmd, d.exited)
}

// exit waits for the end of the process.
func (d *daemon) exit() (code int) {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(patience):
		d.t.Fatal("it does not end")
	}
	return d.cmd.ProcessState.ExitCode()
}

// stop is what systemctl stop does.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	if code := d.exit(); code != 0 {
		d.t.Errorf("exit code %d", code)
	}
}

// end leaves no process behind.
func (d *daemon) end() {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Kill() // it may have ended
	<-d.exited
	if d.t.Failed() {
		d.t.Logf("the log:\n%s\nthe notifications:\n%s", d.log.text(), d.notes.text())
	}
}

func (d *daemon) port() string {
	if d.activated != "" {
		return d.activated
	}
	_, port, _ := net.SplitHostPort(d.listener.Addr().String())
	return port
}

// local is the base URL on the node itself.
func (d *daemon) local() string { return "http://127.0.0.1:" + d.port() }

// url is the base URL for peers.
func (d *daemon) url() string {
	return "http://" + net.JoinHostPort(d.setting.node.DNSName(), d.port())
}
