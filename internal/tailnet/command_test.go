package tailnet_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/tailnet"
)

func TestCommandWithoutSocket(t *testing.T) {
	for _, state := range []string{"Running", "Starting", "Stopped", "NeedsLogin", "NeedsMachineAuth"} {
		t.Run(state, func(t *testing.T) {
			commands(t, map[string]string{"tailscale": "echo '" + statusJSON(state, "") + "'"})
			status, _ := client(socketPath(t)).Connect(t.Context())
			if status.Backend != state || !status.ByCommand || status.Name != "box.tail.ts.net" {
				t.Errorf("Status = %+v, want a %s one by the command", status, state)
			}
		})
	}
}

// TestCommandFails: the socket is what to fix.
func TestCommandFails(t *testing.T) {
	for _, script := range []string{"echo 'failed to connect' >&2; exit 1", "exit 0", "echo nonsense", "echo '{}'"} {
		commands(t, map[string]string{"tailscale": script})
		_, err := client(socketPath(t)).Connect(t.Context())
		fails(t, err, final, "no such file")
		if !errors.Is(err, syscall.ENOENT) {
			t.Errorf("%s: error %v does not wrap that of the dial", script, err)
		}
	}
}

func TestCommandEnvironment(t *testing.T) {
	dir := commands(t, map[string]string{"tailscale": "export > \"${0%/*}/env\"; echo '" + statusJSON("Running", "") + "'"})
	t.Setenv("ANTHROPIC_API_KEY", "sk-secret")
	if _, err := client(socketPath(t)).Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile(dir + "/env")
	if err != nil || strings.Contains(string(env), "ANTHROPIC") || !strings.Contains(string(env), "PATH=") {
		t.Errorf("environment of the command, %v:\n%s", err, env)
	}
}

// TestHangingCommandIsKilled has a child that would keep the output open; a fifo tells when the
// last writer is gone.
func TestHangingCommandIsKilled(t *testing.T) {
	dir := commands(t, nil)
	fifo := dir + "/alive"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec 9>%s\n/bin/sleep 600 &\necho $! >&9\nwait\n", strconv.Quote(fifo))
	if err := os.WriteFile(dir+"/tailscale", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { _, err := os.ReadFile(fifo); gone <- err }() // ends with the last writer
	c := tailnet.New(tailnet.Config{Socket: dir + "/none.sock", AttemptTimeout: 300 * time.Millisecond})
	begun := time.Now()
	_, err := c.Connect(t.Context())
	fails(t, err, final, "no such file")
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("a hanging command held the attempt for %v", took)
	}
	select {
	case err := <-gone:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a child of the command outlived it")
	}
}
