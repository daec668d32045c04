package main_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// runDemo runs the demo in the environment of a user's shell.
func runDemo(t *testing.T, args ...string) *service {
	t.Helper()
	s := &service{t: t, dir: daemontest.TempDir(t), stdout: daemontest.NewRecord(), log: daemontest.NewRecord(), notes: daemontest.NewRecord()}
	cmd := exec.Command("oauth-proxyd", append([]string{"demo"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}
	cmd.Stdout, cmd.Stderr = s.stdout, s.log
	t.Cleanup(s.end)
	s.process = daemontest.Start(t, cmd)
	return s
}

func TestDemoShowsTheHeadersEffect(t *testing.T) {
	t.Parallel()
	s := runDemo(t)
	const beta = "anthropic-beta: context-1m-2025-08-07"
	s.stdout.Next(t, "straight to the API")
	s.stdout.Next(t, "client sent", beta)
	s.stdout.Next(t, "API received", beta)
	s.stdout.Next(t, "API responded   401")
	s.stdout.Next(t, "the same request through oauth-proxyd, on http://127.0.0.1:")
	s.stdout.Next(t, "client sent", beta)
	s.stdout.Next(t, "API received", beta, "oauth-2025-04-20")
	s.stdout.Next(t, "API responded   200")
	s.stdout.Next(t, "as it arrives", "Hello from the mock API!", "word by word.")
	s.stdout.Next(t, "until you press Ctrl-C")
}

// The story is all that a terminal shows: no line of the log is between its lines.
func TestDemoRunsUntilInterrupt(t *testing.T) {
	t.Parallel()
	s := runDemo(t, "--listen", "127.0.0.1:0")
	health := strings.Fields(s.stdout.Next(t, "curl http://"))
	s.stdout.Next(t, "To see the log")
	_, command, _ := strings.Cut(s.stdout.Text(), "curl -N ")
	command, _, _ = strings.Cut(command, "ANTHROPIC_BASE_URL")
	shown := exec.CommandContext(t.Context(), "sh", "-c", "curl -N "+command)
	shown.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := shown.Output() // the lines as they are shown, by a user's shell
	if err != nil || !strings.Contains(string(out), "event: message_stop") {
		t.Errorf("curl: %v %s", err, out)
	}
	get(t, health[1]).Want(t, 200, `"status": "healthy"`)
	s.signal(os.Interrupt)
	s.wantExit(0)
	if s.log.Text() != "" {
		t.Errorf("its log: %s", s.log.Text())
	}
}

func TestDemoInterruptedEarly(t *testing.T) {
	t.Parallel()
	s := runDemo(t, "--listen", "127.0.0.1:0")
	s.stdout.Next(t, "API responded   200")
	s.signal(syscall.SIGINT)
	if code := s.exit(); code != 0 && code != 75 {
		t.Errorf("exit code %d; stdout:\n%s", code, s.stdout.Text())
	}
}

func TestDemoFailsOnTakenAddress(t *testing.T) {
	t.Parallel()
	taken := daemontest.Listen(t, "taken")
	s := runDemo(t, "--listen", taken.Addr())
	s.wantExit(1)
	s.log.Next(t, taken.Addr())
}
