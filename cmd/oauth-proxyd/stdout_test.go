package main_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// TestOutputThatIsLostFails: a full disk must not look like success, whatever the command prints.
func TestOutputThatIsLostFails(t *testing.T) {
	t.Parallel()
	s := start(t, unit{config: forwarding("http://127.0.0.1:9", "", withoutTailnet)})
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{
		{"status"},
		{"status", "--json"},
		{"status", "--watch"},
		{"requests"},
		{"limits"},
		{"limits", "--json"},
		{"reload"},
		{"reload", "--dry-run"},
		{"check", "--config", s.file()},
		{"selftest", "--config", s.file()},
		{"bundle", "--config", s.file(), "-"},
		{"version"},
		{"completion", "bash"},
		{"help"},
		{"status", "--help"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), daemontest.Patience)
		defer cancel()
		c := exec.CommandContext(ctx, "oauth-proxyd", args...)
		var errs strings.Builder
		c.Env, c.Stdout, c.Stderr = s.environment(), full, &errs
		err := c.Run()
		if c.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "error: writing to standard output: ") {
			t.Errorf("%v: %v %s", args, err, errs.String())
		}
	}
}
