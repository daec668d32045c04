package systemd_test

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// passed opens one descriptor of each kind in kinds.
func passed(t *testing.T, kinds ...string) []*os.File {
	t.Helper()
	files := make([]*os.File, len(kinds))
	for i, kind := range kinds {
		files[i] = open(t, kind)
		t.Cleanup(func() { _ = files[i].Close() })
	}
	return files
}

func open(t *testing.T, kind string) *os.File {
	t.Helper()
	var f *os.File
	var err error
	switch kind {
	case "tcp", "unix", "unixpacket":
		f, err = listening(t, kind)
	case "udp":
		f, err = raw(syscall.AF_INET, syscall.SOCK_DGRAM)
	case "unixgram":
		f, err = raw(syscall.AF_UNIX, syscall.SOCK_DGRAM)
	case "idle":
		f, err = raw(syscall.AF_INET, syscall.SOCK_STREAM)
	case "file":
		f, err = os.Open(os.DevNull)
	default:
		t.Fatalf("unknown kind %q", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func listening(t *testing.T, network string) (*os.File, error) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network != "tcp" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.(interface{ File() (*os.File, error) }).File()
}

func raw(family, kind int) (*os.File, error) {
	fd, err := syscall.Socket(family, kind|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "raw"), nil
}

func TestListeners(t *testing.T) {
	tests := []struct {
		name  string
		kinds []string
		fds   string
		names string
		want  []string
	}{
		{"nothing passed", nil, "", "", nil},
		{"no sockets", nil, "0", "", nil},
		{"one with its name", []string{"tcp"}, "1", "web", []string{"web tcp"}},
		{"one without a name", []string{"tcp"}, "1", "", []string{"proxy tcp"}},
		{"systemd's word for no name", []string{"tcp"}, "1", "unknown", []string{"proxy tcp"}},
		{"the name of its unit, for want of one", []string{"tcp"}, "1", "oauth-proxyd.socket", []string{"proxy tcp"}},
		{"a Unix socket", []string{"unix"}, "1", "local", []string{"local unix"}},
		{"several, in their order", []string{"tcp", "unix", "tcp"}, "3", "b:a:c", []string{"b tcp", "a unix", "c tcp"}},
		{"one name for two", []string{"tcp", "tcp"}, "2", "proxy:proxy", []string{"proxy tcp", "proxy tcp"}},
		{"one of two without a name", []string{"tcp", "unix"}, "2", ":admin", []string{"proxy tcp", "admin unix"}},
		{"fewer names than sockets", []string{"tcp", "unix"}, "2", "web", []string{"web tcp", "proxy unix"}},
		{"more passed than counted", []string{"tcp", "file"}, "1", "web", []string{"web tcp"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := activation{passed(t, tt.kinds...), tt.fds, tt.names, "$$"}.run(t)
			if got.Error != "" || !slices.Equal(got.Listeners, tt.want) {
				t.Errorf("Listeners() = %q, error %q; want %q", got.Listeners, got.Error, tt.want)
			}
			if got.Again != 0 || len(got.Left) != 0 {
				t.Errorf("left behind: %d listeners, variables %q; want none", got.Again, got.Left)
			}
		})
	}
}

func TestListenersRefuses(t *testing.T) {
	tests := []struct {
		name  string
		kinds []string
		fds   string
		names string
		want  []string // all in the error
	}{
		{"two without a name", []string{"tcp", "tcp", "tcp"}, "3", "unknown:web", []string{"2 of 3", "FileDescriptorName="}},
		{"a UDP socket", []string{"udp"}, "1", "dns", []string{`"dns"`, "descriptor 3", "ListenStream="}},
		{"a Unix datagram socket", []string{"unixgram"}, "1", "log", []string{`"log"`, "not a listening stream socket"}},
		{"a sequential packet socket", []string{"unixpacket"}, "1", "seq", []string{`"seq"`, "not a listening stream socket"}},
		{"a socket that does not listen", []string{"idle"}, "1", "idle", []string{`"idle"`, "not a listening stream socket"}},
		{"a file", []string{"file"}, "1", "null", []string{`"null"`, "not a socket"}},
		{"a count that is too high", []string{"tcp"}, "2", "web:more", []string{`"more"`, "descriptor 4", "not a socket"}},
		{"all bad ones are named", []string{"udp", "tcp", "file"}, "3", "a:b:c", []string{`"a"`, `"c"`}},
		{"a count that is no number", nil, "two", "", []string{`LISTEN_FDS is "two"`}},
		{"a negative count", nil, "-1", "", []string{`LISTEN_FDS is "-1"`}},
		{"an absurd count", nil, "1000000000", "", []string{"LISTEN_FDS is"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := activation{passed(t, tt.kinds...), tt.fds, tt.names, "$$"}.run(t)
			if len(got.Listeners) != 0 {
				t.Errorf("Listeners() = %q, want none", got.Listeners)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.Error, want) {
					t.Errorf("error %q does not say %q", got.Error, want)
				}
			}
			if len(got.Left) != 0 {
				t.Errorf("left in the environment: %q", got.Left)
			}
		})
	}
}

func TestListenersOfAnotherProcess(t *testing.T) {
	tests := []struct {
		name, pid string
	}{
		{"no process id", ""},
		{"another process", "1"},
		{"garbage", "me"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := activation{passed(t, "tcp"), "1", "web", tt.pid}.run(t)
			if len(got.Listeners) != 0 || got.Error != "" {
				t.Errorf("Listeners() = %q, error %q; want none", got.Listeners, got.Error)
			}
			if len(got.Left) != 0 {
				t.Errorf("left in the environment: %q", got.Left)
			}
		})
	}
}

// The real activator starts the child at the first connection, and accepts nothing itself.
func TestListenersOfSocketActivate(t *testing.T) {
	activator, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Log("systemd-socket-activate is not installed: the rows above stand for it")
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	cmd := exec.CommandContext(t.Context(), activator, "-l", path, "--fdname=web", "-E", asChild+"=1", exe)
	var out strings.Builder
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	if !lines.Scan() { // "Listening on …"
		t.Fatalf("the activator said nothing: %v", lines.Err())
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for lines.Scan() { // until the child is gone
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := parse(t, []byte(out.String())); !slices.Equal(got.Listeners, []string{"web unix"}) || got.Error != "" {
		t.Errorf("Listeners() = %q, error %q; want [web unix]", got.Listeners, got.Error)
	}
}
