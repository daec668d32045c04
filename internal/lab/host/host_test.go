package host_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/host"
)

// asOwner makes the test binary boot a host, say where it is, and wait.
const asOwner = "OAUTH_PROXYD_TEST_OWNER"

func own() error {
	image, err := host.OpenImage(context.Background(), host.Usual(), os.Stderr)
	if err != nil {
		return err
	}
	h, err := host.Boot(context.Background(), image, os.Stderr)
	if err != nil {
		return err
	}
	out, err := h.Run(context.Background(), "cat", "/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	fmt.Print(out.Stdout)
	_, err = h.Run(context.Background(), "sleep", "infinity")
	return err
}

func TestTwoHostsAreApart(t *testing.T) {
	t.Parallel()
	a, b := boot(t), boot(t)
	a.write("/srv/a/file", "a's own")
	if out := b.run("test", "-e", "/srv/a/file"); out.Code != 1 {
		t.Error("one host sees the other's files")
	}
	a.must("systemd-run", "--unit=mine", "sleep", "infinity")
	if state := b.property("mine.service", "ActiveState"); state != "inactive" {
		t.Errorf("the other host's unit is %s", state)
	}
	for _, h := range []*lab{a, b} {
		if failed := h.must("systemctl", "list-units", "--failed", "--no-legend", "--plain"); failed != "" {
			t.Errorf("failed units: %s", failed)
		}
	}
}

func TestCommandsAndFiles(t *testing.T) {
	t.Parallel()
	l := boot(t)
	if out := l.run("sh", "-c", "echo out; echo err >&2; exit 7"); out != (host.Output{Stdout: "out\n", Stderr: "err\n", Code: 7}) {
		t.Errorf("%+v", out)
	}
	l.write("/var/run/seen/through/a/link", "content")
	if got := l.read("/run/seen/through/a/link"); got != "content" {
		t.Errorf("the file has %q", got)
	}
	if _, err := l.ReadFile(t.Context(), "/absent"); err == nil || !strings.Contains(err.Error(), "/absent") {
		t.Errorf("reading an absent file: %v", err)
	}
	if got := l.must("env"); strings.Contains(got, "GO") {
		t.Errorf("our environment came along: %s", got)
	}
}

func TestCancelledCommandIsKilledInside(t *testing.T) {
	t.Parallel()
	l := boot(t)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := l.Command(ctx, "sh", "-c", "echo started; exec sleep 1234567")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
	daemontest.Eventually(l.t, "the command inside is gone", func() bool { return l.run("pgrep", "--full", "sleep 1234567").Code == 1 })
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	l := boot(t)
	listener, err := l.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, connect := range []func(){
		func() { l.must("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/"+portOf(listener.Addr().String())) },
		func() {
			c, err := l.DialContext(t.Context(), "tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		},
	} {
		connect()
		c, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	// The API stands in the host's network, not in ours.
	if _, err := (&exec.Cmd{Path: "/bin/bash", Args: []string{"bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/" + portOf(listener.Addr().String())}}).CombinedOutput(); err == nil {
		t.Error("the host's socket is reached from outside")
	}
}

func portOf(address string) string { return address[strings.LastIndex(address, ":")+1:] }

func TestJournal(t *testing.T) {
	t.Parallel()
	l := boot(t)
	l.must("sh", "-c", "echo 'the message' | systemd-cat --identifier=lab --priority=warning")
	var found []host.Record
	daemontest.Eventually(l.t, "in the journal", func() bool {
		records, err := l.Journal(t.Context(), "SYSLOG_IDENTIFIER=lab")
		if err != nil {
			t.Fatal(err)
		}
		found = records
		return len(found) > 0
	})
	if r := found[0]; len(found) != 1 || r["MESSAGE"] != "the message" || r.Priority() != 4 {
		t.Errorf("%v", found)
	}
}

func TestNothingIsLeftOfAHost(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *exec.Cmd){
		"interrupted": func(t *testing.T, c *exec.Cmd) { signal(t, c, os.Interrupt) },
		"killed":      func(t *testing.T, c *exec.Cmd) { signal(t, c, os.Kill) },
	} {
		t.Run(name, func(t *testing.T) {
			owner := exec.Command(os.Args[0])
			owner.Env = append(os.Environ(), asOwner+"=1")
			owner.Stderr = t.Output()
			stdout, err := owner.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := owner.Start(); err != nil {
				t.Fatal(err)
			}
			boot, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if !isAlive(t, boot) {
				t.Error("the host is not seen even while it lives")
			}
			end(t, owner)
			_, _ = io.Copy(io.Discard, stdout)
			_ = owner.Wait() // the signal's
			daemontest.Eventually(t, "the host is gone", func() bool { return !isAlive(t, boot) })
			if mounts, err := os.ReadFile("/proc/mounts"); err != nil || strings.Contains(string(mounts), "oauth-proxyd/host/mnt") {
				t.Errorf("mounts are left: %v\n%s", err, mounts)
			}
		})
	}
}

func signal(t *testing.T, c *exec.Cmd, s os.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// isAlive looks for a process that sees a host's own boot id.
func isAlive(t *testing.T, boot string) bool {
	t.Helper()
	ids, err := filepath.Glob("/proc/[0-9]*/root/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if content, err := os.ReadFile(id); err == nil && string(content) == boot {
			return true
		}
	}
	return false
}
