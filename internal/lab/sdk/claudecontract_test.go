package sdk_test

import (
	"path/filepath"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// TestClaudeCodeGivesUpAtOnce is why x-should-retry is there: without it Claude Code tries for
// three minutes. What it does then with each code was measured, and is in docs/runbook.md.
func TestClaudeCodeGivesUpAtOnce(t *testing.T) {
	t.Parallel()
	if !hasNode(t) {
		return
	}
	install(t)
	today := claudes(t)[0]
	for _, row := range []struct {
		name  string
		start func(*testing.T) *ground
		claudeCase
		wants string
		calls int
	}{
		{"access_denied", onlyTailnet, claudeCase{}, "API Error: 403 oauth-proxyd@", 1},
		{"request_too_large", usual(`max_request_body = "10KiB"`), claudeCase{}, `"api_error_status":413`, 1},
		{"headers_too_large", usual(), claudeCase{headers: "x-large: " + strings.Repeat("a", 80<<10)}, "API Error: 431 oauth-proxyd@", 1},
		{"upgrade_refused", usual(), claudeCase{headers: "connection: upgrade\nupgrade: websocket"}, "API Error: 501 oauth-proxyd@", 1},
		{"upstream_connect", before(refusing), claudeCase{retries: "1"}, "API Error: 502 oauth-proxyd@", 2},
		{"overloaded", full, claudeCase{retries: "1"}, "API Error: 503 oauth-proxyd@", 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := row.start(t)
			home := filepath.Join(daemontest.TempDir(t), "home")
			row.model = anyModel
			lines := today.run(t, newWay(t, g.base, nil, g.log), home, claudeKey, row.claudeCase)
			wantAll(t, lines, row.wants, `"is_error":true`, "exit code 1")
			if n := g.log.Count(`"outcome":"` + row.name + `"`); n != row.calls {
				t.Errorf("%d requests, want %d", n, row.calls)
			}
		})
	}
}
