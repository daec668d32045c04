package systemd_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"oauth-proxyd/internal/systemd"
)

// manager is a service manager's end of NOTIFY_SOCKET. An empty path is an abstract socket that the
// kernel names.
func manager(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", conn.LocalAddr().String())
	return conn
}

func receive(t testing.TB, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestNotifier(t *testing.T) {
	tests := []struct {
		name string
		send func(*systemd.Notifier) error
		want string // a regular expression for the whole datagram
	}{
		{"ready", func(n *systemd.Notifier) error { return n.Send("serving", "READY=1") }, `READY=1\nSTATUS=serving`},
		{"status", func(n *systemd.Notifier) error { return n.Send("3 in flight") }, `STATUS=3 in flight`},
		{"cleared status", func(n *systemd.Notifier) error { return n.Send("") }, `STATUS=`},
		{"reloading", func(n *systemd.Notifier) error { return n.Send("reading", systemd.Reloading()) }, `RELOADING=1\nMONOTONIC_USEC=[1-9]\d*\nSTATUS=reading`},
		{"two", func(n *systemd.Notifier) error { return n.Send("a", "MAINPID=4711", "WATCHDOG=1") }, `MAINPID=4711\nWATCHDOG=1\nSTATUS=a`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"", filepath.Join(t.TempDir(), "s")} {
				conn := manager(t, path)
				if err := tt.send(systemd.NewNotifier()); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, conn); !regexp.MustCompile("^(?:" + tt.want + ")$").MatchString(got) {
					t.Errorf("sent %q to %q, want %s", got, path, tt.want)
				}
			}
		})
	}
}

func TestNotifierTakesOverTheSocket(t *testing.T) {
	conn := manager(t, "")
	n := systemd.NewNotifier()
	if n.Socket() == "" {
		t.Error("no socket")
	}
	if v, ok := os.LookupEnv("NOTIFY_SOCKET"); ok {
		t.Errorf("NOTIFY_SOCKET=%q is left for children", v)
	}
	if err := errors.Join(n.Send("first"), n.Send("still")); err != nil {
		t.Fatal(err)
	}
	if first, second := receive(t, conn), receive(t, conn); first != "STATUS=first" || second != "STATUS=still" {
		t.Errorf("sent %q, %q", first, second)
	}
}

func TestNotifierWithoutManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n := systemd.NewNotifier()
	if n.Socket() != "" {
		t.Error("a socket")
	}
	if err := n.Send("a", "READY=1"); err != nil {
		t.Error(err)
	}
}

func TestNotifierErrors(t *testing.T) {
	t.Run("the manager is gone", func(t *testing.T) {
		t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
		err := systemd.NewNotifier().Send("serving")
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the manager does not read", func(t *testing.T) {
		manager(t, "")
		n := systemd.NewNotifier()
		var err error
		for start := time.Now(); err == nil && time.Since(start) < 30*time.Second; {
			err = n.Send("")
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want a deadline", err)
		}
	})
}

// The manager compares MONOTONIC_USEC with its own clock, so that it must increase.
func TestReloadingClock(t *testing.T) {
	conn := manager(t, "")
	n := systemd.NewNotifier()
	last := ""
	for range 5 {
		if err := n.Send("", systemd.Reloading()); err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(receive(t, conn), "MONOTONIC_USEC=")
		now, _, _ := strings.Cut(rest, "\n")
		if len(now) < len(last) || len(now) == len(last) && now < last {
			t.Fatalf("%q after %q", now, last)
		}
		last = now
	}
}

func TestStatusIsOneLine(t *testing.T) {
	long := strings.Repeat("é", 300)
	tests := []struct{ name, status, want string }{
		{"line breaks", "up\nREADY=1\r\nSTOPPING=1", "up READY=1  STOPPING=1"},
		{"trailing line break", "login needed\n", "login needed"},
		{"escape sequences", "\x1b[31mred\x07\x00", "\uFFFD[31mred\uFFFD\uFFFD"},
		{"line separators", "a\u2028b\u0085c", "a b c"},
		{"not UTF-8", "a\xff\xfeb", "a\uFFFD\uFFFDb"},
		{"512 bytes are kept", long[:512], long[:512]},
		{"one byte too many", "x" + long, "x" + long[:508] + "…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := manager(t, "")
			if err := systemd.NewNotifier().Send(tt.status); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, conn); got != "STATUS="+tt.want {
				t.Errorf("sent %q, want %q", got, "STATUS="+tt.want)
			}
		})
	}
}

func FuzzStatus(f *testing.F) {
	f.Add("serving")
	f.Add("a\nSTOPPING=1")
	f.Add(strings.Repeat("\u00e9", 400))
	f.Fuzz(func(t *testing.T, status string) {
		conn := manager(t, "")
		if err := systemd.NewNotifier().Send(status); err != nil {
			t.Fatal(err)
		}
		got := receive(t, conn)
		if strings.Contains(got, "\n") || len(got) > len("STATUS=")+512 || !utf8.ValidString(got) {
			t.Errorf("sent %q", got)
		}
	})
}

func TestNotifierConcurrently(t *testing.T) {
	conn := manager(t, "")
	n := systemd.NewNotifier()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := n.Send("bye", "STOPPING=1"); err != nil {
				t.Error(err)
			}
		})
	}
	for range 8 {
		if got := receive(t, conn); got != "STOPPING=1\nSTATUS=bye" {
			t.Errorf("sent %q", got)
		}
	}
	wg.Wait()
}
