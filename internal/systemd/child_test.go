package systemd_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"oauth-proxyd/internal/systemd"
)

// asChild makes the test binary behave as a daemon that takes over its sockets and says what it
// found.
const asChild = "OAUTH_PROXYD_TEST_CHILD"

func TestMain(m *testing.M) {
	if how := os.Getenv(asSuccessor); how != "" {
		os.Exit(succeed(how))
	}
	if os.Getenv(asChild) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := json.NewEncoder(os.Stdout).Encode(takeOver()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// report is what a child found.
type report struct {
	Listeners []string // NAME NETWORK, for those that accepted a connection
	Error     string
	Again     int      // listeners of a second call
	Left      []string // LISTEN_* variables that a child of the child would inherit
}

func takeOver() report {
	var r report
	found, err := systemd.Inherit()
	if err != nil {
		r.Error = err.Error()
	}
	for _, l := range found.Listeners {
		r.Listeners = append(r.Listeners, l.Name+" "+serve(l))
	}
	again, _ := systemd.Inherit()
	r.Again = len(again.Listeners)
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "LISTEN_") {
			r.Left = append(r.Left, v)
		}
	}
	return r
}

// serve proves that l is a listener by accepting a connection.
func serve(l systemd.Listener) string {
	defer l.Close()
	client, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		return err.Error()
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	return l.Addr().Network()
}

// activation is what a service manager would pass.
type activation struct {
	files []*os.File
	fds   string // LISTEN_FDS
	names string // LISTEN_FDNAMES
	pid   string // LISTEN_PID; "$$": the child's own
}

// run starts the child. Its process id is not known before it exists: a shell sets LISTEN_PID and
// becomes the child.
func (a activation) run(t *testing.T) report {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := "exec \"$0\""
	if a.pid != "" {
		script = "LISTEN_PID=" + a.pid + " " + script
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, exe)
	cmd.ExtraFiles = a.files
	// Under the race detector, a process waits a second before it exits unless told otherwise.
	cmd.Env = append(os.Environ(), asChild+"=1", "GORACE=atexit_sleep_ms=0")
	if a.fds != "" {
		cmd.Env = append(cmd.Env, "LISTEN_FDS="+a.fds)
	}
	if a.names != "" {
		cmd.Env = append(cmd.Env, "LISTEN_FDNAMES="+a.names)
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("child: %v", err)
	}
	return parse(t, out)
}

func parse(t *testing.T, out []byte) report {
	t.Helper()
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("report of the child %q: %v", out, err)
	}
	return r
}
