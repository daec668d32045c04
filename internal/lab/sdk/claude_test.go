package sdk_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

func TestClaudeCode(t *testing.T) {
	t.Parallel()
	if !hasNode(t) {
		return
	}
	install(t)
	t.Run("says the same through the daemon", testClaudeSaysTheSame)
	t.Run("subscription works through the daemon only", testClaudeSubscription)
	t.Run("cancel reaches the API", testClaudeCancel)
	t.Run("never takes a cut response for a whole one", testClaudeCut)
}

func testClaudeSaysTheSame(t *testing.T) {
	const success, failure = `"is_error":false`, `"is_error":true`
	for _, row := range []struct {
		name string
		claudeCase
		wants []string
		calls int // to the API at least
	}{
		{"stream", claudeCase{model: anyModel, noTools: true, args: partial()}, []string{"message_start", "text_delta", "message_stop", "word by word.", success, "exit code 0"}, 1},
		{"compressed stream", claudeCase{model: "gzip", noTools: true}, []string{"word by word.", success}, 1},
		{"long stream", claudeCase{model: "long-2000", noTools: true}, []string{`"output_tokens":2000`, success}, 1},
		{"tool", claudeCase{model: anyModel}, []string{`"tool_use"`, "InputValidationError", "word by word.", success, "exit code 0"}, 2},
		{"count of tokens", claudeCase{prompt: "/context", model: anyModel}, []string{success, "exit code 0"}, 2},
		{"400", claudeCase{model: "error-400"}, []string{"API Error: 400", "at least one message is required", failure, "exit code 1"}, 1},
		{"429", claudeCase{model: "error-429", retries: "1"}, []string{"exceed your account's rate limit", failure, "exit code 1"}, 2},
		{"529", claudeCase{model: "error-529", retries: "2"}, []string{"529", "verloaded", failure, "exit code 1"}, 3},
		{"error in a stream", claudeCase{model: "error-mid-stream", retries: "1"}, []string{"verloaded", failure, "exit code 1"}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			onEachClaude(t, func(t *testing.T, c claude, l lane) {
				home := filepath.Join(daemontest.TempDir(t), "home")
				direct := c.run(t, l.direct, home, claudeKey, row.claudeCase)
				through := c.run(t, l.through, home, claudeKey, row.claudeCase)
				wantAll(t, direct, row.wants...)
				wantSame(t, "what Claude Code says", direct, through)
				l.wantSameRequestsInAnyOrder(t) // it counts tokens of several things at once
				if n := l.direct.upstream.count(); n < row.calls {
					t.Errorf("%d requests, want %d", n, row.calls)
				}
			})
		})
	}
}

// partial has Claude Code print each event.
func partial() []string { return []string{"--include-partial-messages"} }

// testClaudeSubscription is what the program is for: a token as a gateway passes it on, without the
// beta that Claude Code adds to its own.
func testClaudeSubscription(t *testing.T) {
	t.Parallel()
	onEachClaude(t, func(t *testing.T, c claude, l lane) {
		home := filepath.Join(daemontest.TempDir(t), "home")
		direct := c.run(t, l.direct, home, claudeSubscription, claudeCase{model: anyModel})
		wantAll(t, direct, "401", "OAuth authentication is currently not supported.", `"is_error":true`)
		through := c.run(t, l.through, home, claudeSubscription, claudeCase{model: anyModel})
		wantAll(t, through, "InputValidationError", "word by word.", `"is_error":false`, "exit code 0")
		for _, betas := range l.through.upstream.betas() {
			if !strings.HasPrefix(betas, "claude-code-20250219,") || !strings.HasSuffix(betas, ",oauth-2025-04-20") {
				t.Errorf("the API saw the betas %q", betas)
			}
		}
	})
}

func testClaudeCancel(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"interrupt": syscall.SIGINT, "end": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			onEachClaude(t, func(t *testing.T, c claude, l lane) {
				home := filepath.Join(daemontest.TempDir(t), "home")
				var codes []int
				for _, w := range []way{l.direct, l.through} {
					s := c.start(t, w, home, claudeKey, claudeCase{model: "stall", noTools: true, args: partial()})
					s.stdout.Next(t, "text_delta")
					s.Signal(t, signal)
					w.upstream.awaitGone(t)
					codes = append(codes, s.Exit(t))
				}
				if codes[0] != codes[1] {
					t.Errorf("exit codes %d", codes)
				}
				l.through.log.Next(t, `"outcome":`, `"status":499`)
				l.wantSameRequests(t)
			})
		})
	}
}

func testClaudeCut(t *testing.T) {
	t.Parallel()
	onEachClaude(t, func(t *testing.T, c claude, l lane) {
		home := filepath.Join(daemontest.TempDir(t), "home")
		for _, w := range []way{l.direct, l.through} {
			lines := c.run(t, w, home, claudeKey, claudeCase{model: "cut-mid-stream", retries: "1"})
			wantAll(t, lines, `"is_error":true`, "exit code 1")
		}
	})
}
