package gateway_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// TestClaudeCodeThroughGateway runs Claude Code itself as the client of the gateway.
func TestClaudeCodeThroughGateway(t *testing.T) {
	t.Parallel()
	s := newStack(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), daemontest.Patience)
	defer cancel()
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, officialBinary(t), "--print", "--model", "claude-sonnet-4-5", "hi")
	cmd.Dir = home
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home,
		"ANTHROPIC_BASE_URL=" + s.client.base, "ANTHROPIC_AUTH_TOKEN=" + s.client.token,
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1",
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Hello from the mock API!") {
		t.Errorf("Claude Code: %v\n%s", err, out)
	}
	for _, r := range s.api.all() {
		if r.Target != "/v1/messages?beta=true" || !r.BodyComplete || !strings.Contains(r.Header.Get("Anthropic-Beta"), ","+oauthBeta) {
			t.Errorf("the API received %s, complete: %t, anthropic-beta %q", r.Target, r.BodyComplete, r.Header["Anthropic-Beta"])
		}
	}
}
