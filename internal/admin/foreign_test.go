package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestForeignSocketIsNamed: an error says what is at the path if it is not a daemon's socket.
func TestForeignSocketIsNamed(t *testing.T) {
	ours := "HTTP/1.1 200 OK\r\nServer: oauth-proxyd\r\n\r\n"
	for name, row := range map[string]struct {
		serve func(t *testing.T, path string)
		want  string
	}{
		"a full queue":      {fillBacklog, "did not respond in time"},
		"no HTTP":           {responding("220 mail.example ESMTP\r\n"), "did not respond as oauth-proxyd does: net/http: "},
		"HTTP of others":    {responding("HTTP/1.1 200 OK\r\n\r\n{}"), `did not respond as oauth-proxyd does: no header "Server: oauth-proxyd"`},
		"not JSON":          {responding(ours + "<html>"), "did not respond as oauth-proxyd does: invalid character"},
		"half a response":   {responding(ours + `{"applied":`), "did not respond as oauth-proxyd does: unexpected EOF"},
		"no response":       {responding(""), "did not respond as oauth-proxyd does: EOF"},
		"an unknown status": {responding("HTTP/1.1 404 No\r\nServer: oauth-proxyd\r\n\r\nno such command\n"), "refused the command: 404 No: no such command"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), socketName)
			row.serve(t, path)
			_, err := At(path).Reload(t.Context(), true)
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), path) || isNotRunning(err) {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
}

// responding sends text in response to each request, and closes the connection.
func responding(text string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		t.Cleanup(func() { l.Close(); <-done })
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 4<<10))
				_, _ = io.WriteString(c, text)
				_ = c.Close()
			}
		}()
	}
}

// fillBacklog listens and accepts nothing, with one connection waiting.
func fillBacklog(t *testing.T, path string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	first, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { first.Close() })
}

// TestHungDaemonKeepsItsSocket: a daemon that no longer accepts connections still has its socket.
func TestHungDaemonKeepsItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), socketName)
	fillBacklog(t, path)
	if err := publish(t, path, false, Commands{}); err == nil || !strings.Contains(err.Error(), "is in use by another daemon") {
		t.Errorf("another daemon takes the socket: %v", err)
	}
}

// TestSilentSocketIsNamedSoon: no command waits longer than five seconds for the first byte.
func TestSilentSocketIsNamedSoon(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), socketName)
	l, err := net.Listen("unix", path) // the kernel connects, and nothing is accepted
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := At(path).Upgrade(ctx); err == nil || !strings.Contains(err.Error(), "did not respond in time") || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

// TestSlowOutcomeIsAnnounced: a client sees at once that a command whose outcome takes long was
// taken.
func TestSlowOutcomeIsAnnounced(t *testing.T) {
	release := make(chan struct{})
	c := serve(t, Commands{
		Reload:  func(context.Context, string) ReloadOutcome { <-release; return ReloadOutcome{} },
		Upgrade: func(context.Context, string) UpgradeOutcome { <-release; return UpgradeOutcome{} },
	})
	defer close(release)
	for _, path := range []string{"/reload", "/upgrade"} {
		conn, err := net.Dial("unix", c.socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || r.Header.Get("Server") != serverName {
			t.Fatalf("%s: %+v, %v", path, r, err)
		}
	}
}
