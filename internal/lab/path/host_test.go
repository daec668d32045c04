package path_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"oauth-proxyd/internal/daemontest"
)

// host is a network and a mount namespace, which live as long as the process that holds them.
type host struct {
	t   *testing.T
	dir string // for files of what runs there
	pid int    // of the holder
}

// becomeHost waits until its input ends, which it also does if the test is killed.
const becomeHost = `set -e
mount --bind "$0/hosts" /etc/hosts
mount --bind "$0/resolv.conf" /etc/resolv.conf
ip link set lo up
echo ready
exec cat`

// newHost makes a host with these lines in /etc/hosts and /etc/resolv.conf.
func newHost(t *testing.T, hosts, resolv string) *host {
	t.Helper()
	h := &host{t: t, dir: daemontest.TempDir(t)}
	h.write("hosts", "127.0.0.1 localhost\n"+hosts)
	h.write("resolv.conf", resolv)
	holder := exec.Command("unshare", "--net", "--mount", "--propagation=private", "sh", "-c", becomeHost, h.dir)
	trouble := &strings.Builder{}
	holder.Stderr = trouble
	input, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	h.pid = holder.Process.Pid
	t.Cleanup(func() {
		input.Close()
		_ = holder.Wait() // it only held the namespaces
	})
	if line, _ := bufio.NewReader(output).ReadString('\n'); line != "ready\n" {
		t.Fatalf("making a namespace (as root?): %s", trouble)
	}
	return h
}

// write makes a file that others may read, and returns its path.
func (h *host) write(name, text string) string {
	h.t.Helper()
	file := filepath.Join(h.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return file
}

// command is one that runs on the host.
func (h *host) command(name string, args ...string) *exec.Cmd {
	enter := []string{fmt.Sprintf("--target=%d", h.pid), "--net", "--mount", "--", name}
	return exec.Command("nsenter", append(enter, args...)...)
}

// run runs the lines of a shell script on the host, and returns what they print.
func (h *host) run(script string) string {
	h.t.Helper()
	out, err := h.command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v: %s", script, err, out)
	}
	return string(out)
}

// start starts a server on the host and waits until it accepts connections at address.
func (h *host) start(address, name string, args ...string) *daemontest.Process {
	h.t.Helper()
	log := daemontest.NewRecord()
	cmd := h.command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	p := daemontest.Start(h.t, cmd)
	h.t.Cleanup(func() {
		p.Stop(h.t) // killed, it would leave its workers
		if h.t.Failed() {
			h.t.Logf("%s:\n%s", name, log.Text())
		}
	})
	daemontest.Eventually(h.t, name+" accepts connections", func() bool {
		c, err := h.dial(address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}

// dial connects from the host.
func (h *host) dial(address string) (c net.Conn, err error) {
	err = h.within(func() error {
		c, err = net.Dial("tcp", address)
		return err
	})
	return c, err
}

// listen listens on the host to the end of the test.
func (h *host) listen(address string) (l net.Listener) {
	h.t.Helper()
	err := h.within(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l.Close() })
	return l
}

// within calls f on a thread that is in the host's network namespace, and ends with f.
func (h *host) within(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", h.pid))
		if err != nil {
			result <- err
			return
		}
		defer there.Close()
		if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}
