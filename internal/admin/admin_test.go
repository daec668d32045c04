package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/ratelimit"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves c on a socket of its own.
func serve(t *testing.T, c Commands) Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", socketName)
	if err := publish(t, path, false, c); err != nil {
		t.Fatal(err)
	}
	return Client{socket: path}
}

// publish serves c on the socket of that path.
func publish(t *testing.T, path string, succeeds bool, c Commands) error {
	t.Helper()
	s, err := Serve(path, succeeds, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	t.Cleanup(s.Close)
	return s.Publish()
}

func TestCommandsReachTheDaemon(t *testing.T) {
	c := serve(t, Commands{
		Status:   func() Status { return Status{State: "running"} },
		Reload:   func(context.Context, string) ReloadOutcome { return ReloadOutcome{Applied: true} },
		DryRun:   func() ReloadOutcome { return ReloadOutcome{Warnings: []string{"dry"}} },
		Upgrade:  func(context.Context, string) UpgradeOutcome { return UpgradeOutcome{PID: 7} },
		InFlight: func() []proxy.Trace { return []proxy.Trace{{RequestID: "req_1"}} },
		Limits:   func() []ratelimit.Account { return []ratelimit.Account{{ID: "c0ffee"}} },
		Explain: func(id string) []proxy.Trace {
			if id != "req/2" {
				return nil
			}
			return []proxy.Trace{{RequestID: id}}
		},
	})
	ctx := t.Context()
	if s, err := c.Status(ctx); err != nil || s.State != "running" {
		t.Errorf("status %+v, %v", s, err)
	}
	if o, err := c.Reload(ctx, false); err != nil || !o.Applied {
		t.Errorf("reload %+v, %v", o, err)
	}
	if o, err := c.Reload(ctx, true); err != nil || len(o.Warnings) != 1 {
		t.Errorf("dry run %+v, %v", o, err)
	}
	if o, err := c.Upgrade(ctx); err != nil || o.PID != 7 {
		t.Errorf("upgrade %+v, %v", o, err)
	}
	if all, err := c.InFlight(ctx); err != nil || len(all) != 1 || all[0].RequestID != "req_1" {
		t.Errorf("in flight %+v, %v", all, err)
	}
	if all, err := c.Limits(ctx); err != nil || len(all) != 1 || all[0].ID != "c0ffee" {
		t.Errorf("limits %+v, %v", all, err)
	}
	if all, err := c.Explain(ctx, "req/2"); err != nil || len(all) != 1 || all[0].RequestID != "req/2" {
		t.Errorf("explain %+v, %v", all, err)
	}
	if all, err := c.Explain(ctx, "req_3"); err != nil || len(all) != 0 {
		t.Errorf("explain an unknown id: %+v, %v", all, err)
	}
}

func TestReloadOutcomeIsRefused(t *testing.T) {
	for _, row := range []struct {
		outcome ReloadOutcome
		refused bool
	}{
		{ReloadOutcome{Applied: true}, false},
		{ReloadOutcome{Diagnostics: []config.Diagnostic{{}}}, true},
		{ReloadOutcome{Error: "no"}, true},
	} {
		if row.outcome.Refused() != row.refused {
			t.Errorf("%+v: refused %v", row.outcome, !row.refused)
		}
	}
}

func isNotRunning(err error) bool {
	_, ok := errors.AsType[*NotRunningError](err)
	return ok
}

func TestNobodyListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), socketName)
	if _, err := (Client{socket: path}).Status(t.Context()); !isNotRunning(err) {
		t.Errorf("no socket: %v", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as a killed process leaves it
	_ = l.Close()
	if _, err := (Client{socket: path}).Status(t.Context()); !isNotRunning(err) {
		t.Errorf("a socket that was left: %v", err)
	}
	if err := publish(t, path, false, Commands{}); err != nil {
		t.Fatalf("in place of a socket that was left: %v", err)
	}
}

func TestSocketBelongsToOneDaemon(t *testing.T) {
	c := serve(t, Commands{Status: func() Status { return Status{PID: 1} }})
	if info, err := os.Stat(c.socket); err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := publish(t, c.socket, false, Commands{}); err == nil {
		t.Error("another daemon takes the socket")
	}
	next, err := Serve(c.socket, true, Commands{Status: func() Status { return Status{PID: 2} }}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("a successor: %v", err)
	}
	t.Cleanup(next.Close)
	if s, err := c.Status(t.Context()); err != nil || s.PID != 1 {
		t.Errorf("before a hand-over %+v, %v", s, err)
	}
	if err := next.Publish(); err != nil {
		t.Fatalf("a successor: %v", err)
	}
	if s, err := c.Status(t.Context()); err != nil || s.PID != 2 {
		t.Errorf("after a hand-over %+v, %v", s, err)
	}
}

func TestSocketPath(t *testing.T) {
	for _, row := range []struct{ name, runtime, user, want string }{
		{"of a unit", "/run/x", "/run/user/1", "/run/x/admin.sock"},
		{"of root", "", "", "/run/oauth-proxyd/admin.sock"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Setenv("RUNTIME_DIRECTORY", row.runtime)
			t.Setenv("XDG_RUNTIME_DIR", row.user)
			if got := Socket(); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}
