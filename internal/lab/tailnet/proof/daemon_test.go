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

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

const nobody = 65534

// setting is what a test decides about a daemon.
type setting struct {
	node     *tailnet.Node
	upstream string   // URL; empty: one that nobody asks
	whenDown string   // empty: wait
	socket   string   // of tailscaled; empty: the environment names it
	proxy    string   // more of that block
	blocks   []string // more of the configuration
	env      []string // more of it, stronger than what there is
	nobody   bool     // runs without any right
	private  bool     // runs as the unit does, with PrivateUsers=; not for a host of its own

	also []*daemontest.Socket // in addition to the one named proxy
}

// daemon is the program on a node, with a socket named proxy that a service manager holds, while
// its processes come and go.
type daemon struct {
	t       *testing.T
	setting setting
	dir     string
	socket  *daemontest.Socket
	log     *daemontest.Record
	notes   *daemontest.Record // to the service manager
	process *daemontest.Process

	activated string // port that another holds for it
}

func newDaemon(t *testing.T, s setting) *daemon {
	t.Helper()
	dir := daemontest.TempDir(t)
	if err := os.Chmod(dir, 0o777); err != nil { // nobody makes its admin socket there
		t.Fatal(err)
	}
	d := &daemon{t: t, setting: s, dir: dir, log: daemontest.NewRecord()}
	d.notes = daemontest.ListenNotify(t, filepath.Join(dir, "notify"))
	d.listen()
	d.configure()
	t.Cleanup(d.show)
	return d
}

// start is newDaemon, run, and the wait for READY=1.
func start(t *testing.T, s setting) *daemon {
	t.Helper()
	d := newDaemon(t, s)
	d.run()
	d.notes.Next(t, "READY=1")
	return d
}

// listen opens what peers reach: all addresses of a host of its own, and on this one loopback, from
// where tailscaled delivers them.
func (d *daemon) listen() {
	d.t.Helper()
	address := "127.0.0.1:0"
	if d.setting.node.HasOwnHost() {
		address = "[::]:0"
	}
	l, err := d.setting.node.Listen("tcp", address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.socket = daemontest.Hold(d.t, "proxy", l)
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
	content := fmt.Sprintf("proxy {\n  upstream_url = %q\n  %s\n}\ntailscale {\n  when_down = %q\n  socket    = %q\n}\n%s",
		s.upstream, s.proxy, s.whenDown, s.socket, strings.Join(s.blocks, "\n"))
	if err := os.WriteFile(d.configFile(), []byte(content), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) configFile() string { return filepath.Join(d.dir, "oauth-proxyd.hcl") }

// run starts a process.
func (d *daemon) run() {
	d.t.Helper()
	command := []string{"oauth-proxyd", "serve", "--config", d.configFile(), "--log-format", "json"}
	if d.setting.nobody {
		command = append([]string{"setpriv", fmt.Sprintf("--reuid=%d", nobody), fmt.Sprintf("--regid=%d", nobody), "--clear-groups"}, command...)
	}
	cmd := d.setting.node.Command(command[0], command[1:]...)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+filepath.Join(d.dir, "notify"), "RUNTIME_DIRECTORY="+d.dir)
	cmd.Env = append(cmd.Env, d.setting.env...)
	daemontest.Activate(cmd, append([]*daemontest.Socket{d.socket}, d.setting.also...)...)
	if d.setting.private {
		cmd.SysProcAttr = privateUsers()
	}
	d.begin(cmd)
}

// privateUsers is a user namespace as systemd makes it: only root and the service's own user have
// numbers there. See PrivateUsers= in systemd.exec(5).
func privateUsers() *syscall.SysProcAttr {
	const service = 999
	ids := []syscall.SysProcIDMap{{Size: 1}, {ContainerID: service, HostID: service, Size: 1}}
	return &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{Uid: service, Gid: service},
	}
}

func (d *daemon) begin(cmd *exec.Cmd) {
	d.t.Helper()
	cmd.Stderr = d.log
	d.process = daemontest.Start(d.t, cmd)
}

// stop is what systemctl stop does.
func (d *daemon) stop() {
	d.t.Helper()
	if code := d.process.Stop(d.t); code != 0 {
		d.t.Errorf("exit code %d", code)
	}
}

// askStatus returns the exit code of "oauth-proxyd status" and what it prints.
func (d *daemon) askStatus() (code int, text string) {
	d.t.Helper()
	p := &patient{t: d.t, node: d.setting.node, dir: d.dir}
	return p.status()
}

// flat is a text without its line breaks and indentation.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// show logs what explains a failed test.
func (d *daemon) show() {
	if d.t.Failed() {
		d.t.Logf("the log:\n%s\nthe notifications:\n%s", d.log.Text(), d.notes.Text())
	}
}

func (d *daemon) port() string {
	if d.activated != "" {
		return d.activated
	}
	_, port, _ := net.SplitHostPort(d.socket.Addr())
	return port
}

// local is the base URL on the node itself.
func (d *daemon) local() string { return d.at("127.0.0.1") }

// at is the base URL at an address of the node's host.
func (d *daemon) at(address string) string { return "http://" + net.JoinHostPort(address, d.port()) }

// url is the base URL for peers.
func (d *daemon) url() string {
	return "http://" + net.JoinHostPort(d.setting.node.DNSName(), d.port())
}
