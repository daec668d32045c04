package tailnet_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/tailnet"
)

// outcome is what an *Error says of the next attempt.
type outcome string

const (
	retry  outcome = "may succeed"
	person outcome = "needs a person"
	final  outcome = "fails as well"
)

func outcomeOf(e *tailnet.Error) outcome {
	switch {
	case e.Retry:
		return retry
	case e.NeedsPerson:
		return person
	default:
		return final
	}
}

// fails checks that err is an *Error of that outcome whose text has all parts.
func fails(t *testing.T, err error, want outcome, parts ...string) {
	t.Helper()
	failure, ok := errors.AsType[*tailnet.Error](err)
	if !ok {
		t.Fatalf("error = %v (%T), want an *Error", err, err)
	}
	if got := outcomeOf(failure); got != want {
		t.Errorf("the next attempt %s, want: it %s (%v)", got, want, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if text := err.Error(); strings.ContainsAny(text, "\n\x00\x1b") || len(text) > 600 {
		t.Errorf("error is not one short line: %q", text)
	}
}

func TestConnectStates(t *testing.T) {
	commands(t, nil)
	expired := withKeyExpiry("NeedsLogin", time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC))
	tests := []struct {
		name, body, backend string
		want                outcome
		text                []string
	}{
		{"Starting", statusJSON("Starting", ""), "Starting", retry, []string{"state Starting", "tailscale status"}},
		{"NoState", statusJSON("NoState", ""), "NoState", retry, []string{"state NoState"}},
		{"InUseOtherUser", statusJSON("InUseOtherUser", ""), "InUseOtherUser", retry, []string{"state InUseOtherUser"}},
		{"a state of the future", statusJSON("Dreaming", ""), "Dreaming", retry, []string{"state Dreaming"}},
		{"NeedsLogin", statusJSON("NeedsLogin", ""), "NeedsLogin", person, []string{"NeedsLogin", "`tailscale login`"}},
		{"expired key", expired, "NeedsLogin", person, []string{"node key expired on 2020-02-03", "`tailscale up --force-reauth`"}},
		{"NeedsMachineAuth", statusJSON("NeedsMachineAuth", ""), "NeedsMachineAuth", person, []string{"NeedsMachineAuth", "admin console"}},
		{"Stopped", statusJSON("Stopped", ""), "Stopped", final, []string{"Stopped", "`tailscale up`"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t)
			d.SetStatus(tt.body)
			status, err := client(d.socket).Connect(t.Context())
			fails(t, err, tt.want, tt.text...)
			if status.Backend != tt.backend {
				t.Errorf("Status = %+v, want the facts of a %s backend", status, tt.backend)
			}
		})
	}
}

func TestConnectWhenRunning(t *testing.T) {
	d := startDaemon(t)
	status, err := client(d.socket).Connect(t.Context())
	if err != nil || status.Backend != "Running" {
		t.Errorf("Connect = %+v, %v; want connected", status, err)
	}
}

func TestConnectHidesLoginURL(t *testing.T) {
	d := startDaemon(t)
	d.SetStatus(statusJSON("NeedsLogin", `,"AuthURL":"https://login.example/a/1"`))
	_, err := client(d.socket).Connect(t.Context())
	fails(t, err, person)
	failure, _ := errors.AsType[*tailnet.Error](err)
	if failure.AuthURL != "https://login.example/a/1" || strings.Contains(err.Error(), "login.example") {
		t.Errorf("AuthURL = %q, text %q; want the URL in the field only", failure.AuthURL, err)
	}
}

// TestStatusBadSocket also has a command that would respond: a socket that was reached is not asked
// a second time through it.
func TestStatusBadSocket(t *testing.T) {
	dir := commands(t, map[string]string{"tailscale": "echo asked >> \"$0.log\"\necho '" + `{"BackendState":"Running"}` + "'"})
	tests := []struct {
		name     string
		response http.HandlerFunc
		text     string
	}{
		{"hangs", hang, "no response"},
		{"hangs in the middle", stall, "no response"},
		{"cuts", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		{"garbage", respond(200, "\x1b[2J<html>"), "invalid character"},
		{"null", respond(200, "null"), "no backend state"},
		{"nothing said", respond(200, "{}"), "no backend state"},
		{"wrong type", respond(200, `{"BackendState":6}`), "unmarshal"},
		{"forbidden", respond(403, "status access\n denied"), "denied"},
		{"server error", respond(500, strings.Repeat("boom ", 1000)), "500"},
		{"redirect to nowhere", respond(302, ""), "302"},
		{"a token", respond(403, "denied to sk-ant-oat01-PLANTED"), "denied to sk-ant-oat01-*******"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t)
			d.Handle("status", tt.response)
			c := tailnet.New(tailnet.Config{Socket: d.socket, AttemptTimeout: patience(tt.name)})
			_, err := c.Connect(t.Context())
			fails(t, err, retry, "cannot read the state of tailscaled", tt.text)
		})
	}
	if _, err := os.Stat(dir + "/tailscale.log"); err == nil {
		t.Error("the command was run although the socket was reached")
	}
}

func TestStatusNoDaemon(t *testing.T) {
	commands(t, nil)
	stale := socketPath(t)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	tests := []struct {
		name, socket string
		want         outcome
		text         []string
	}{
		{"not installed", socketPath(t), final, []string{"not running", "not installed", "no such file", "install it", "required = false"}},
		{"refuses", stale, retry, []string{"connection refused", "`systemctl start tailscaled`"}},
		{"not even a folder", stale + "/x", retry, []string{"not a directory"}},
		{"too long a path", "/tmp/" + strings.Repeat("x", 200), retry, []string{"invalid argument"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := client(tt.socket).Connect(t.Context())
			fails(t, err, tt.want, tt.text...)
		})
	}
}

// TestStatusFullSocket has a daemon that hangs so long that its backlog is full: no connection is
// accepted, and none is refused.
func TestStatusFullSocket(t *testing.T) {
	commands(t, nil)
	socket := socketPath(t)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for conn, err := net.Dial("unix", socket); err == nil; conn, err = net.Dial("unix", socket) {
		defer conn.Close()
	}
	_, err = client(socket).Connect(t.Context())
	fails(t, err, retry, "temporarily unavailable", "`systemctl restart tailscaled`")
}

func TestStatusCallerLeft(t *testing.T) {
	commands(t, nil)
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := client(socketPath(t)).Connect(ctx)
		fails(t, err, retry, "context canceled")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v does not wrap the context's", err)
		}
	})
	t.Run("its own deadline", func(t *testing.T) {
		d := startDaemon(t)
		d.Handle("status", hang)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := client(d.socket).Connect(ctx)
		fails(t, err, retry, "deadline exceeded")
		if strings.Contains(err.Error(), "within") {
			t.Errorf("error %q claims a time that was not waited", err)
		}
	})
}

// The wait for a tailscaled that hangs is as long as the unit's TimeoutStartSec= assumes.
func TestAttemptTimeout(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	d.Handle("status", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	began := time.Now()
	_, err := tailnet.New(tailnet.Config{Socket: d.socket}).Connect(t.Context())
	fails(t, err, retry, "within 5s")
	if took := time.Since(began).Round(time.Second); took < 5*time.Second || took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestNoKeptConnection(t *testing.T) {
	d := startDaemon(t)
	d.Handle("status", func(w http.ResponseWriter, r *http.Request) {
		if !r.Close {
			t.Error("the connection would be kept")
		}
		respond(200, statusJSON("Running", ""))(w, r)
	})
	if _, err := client(d.socket).Connect(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOnlyTheCommandIsRun(t *testing.T) {
	record := "echo \"$0 $*\" >> \"${0%/*}/log\"\nexit 1"
	dir := commands(t, map[string]string{"systemctl": record, "tailscale": record, "ps": record, "launchctl": record})
	_, err := client(dir + "/none.sock").Connect(t.Context())
	fails(t, err, final)
	log, _ := os.ReadFile(dir + "/log")
	want := dir + "/tailscale --socket=" + dir + "/none.sock status --json --peers=false\n"
	if string(log) != want {
		t.Errorf("processes run:\n%swant:\n%s", log, want)
	}
}
