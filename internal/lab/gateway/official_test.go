package gateway_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// startGateway runs "claude gateway" with one upstream and returns its base URL. Its credential for
// the upstream is a subscription's token that nobody has.
func startGateway(t *testing.T, upstream string) string {
	t.Helper()
	dir := daemontest.TempDir(t)
	file := filepath.Join(dir, "gateway.yaml")
	write(t, file, gatewayConfig(startIdentityProvider(t).URL, startPostgres(t), upstream))
	cmd := exec.Command(officialBinary(t), "gateway", "--config", file)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir,
		"CLAUDE_GATEWAY_ALLOW_LOOPBACK=1", "CLAUDE_GATEWAY_LOG_FORMAT=json",
	}
	log, process := start(t, cmd)
	line := log.Next(t, "claude gateway listening on ")
	t.Cleanup(func() { process.Stop(t) })
	return regexp.MustCompile(`http://[\d.:]+`).FindString(line)
}

func gatewayConfig(issuer, database, upstream string) string {
	return fmt.Sprintf(`
listen:
  host: 127.0.0.1
  port: 0
oidc:
  issuer: %q
  client_id: %q
  client_secret: %q
session:
  jwt_secret: made-up-secret-of-more-than-32-bytes
store:
  postgres_url: %q
upstreams:
  - provider: anthropic
    name: oauth-proxyd
    base_url: %q
    forward_user_identity: true
    auth:
      oauth_token: %q
models:
%s`, issuer, clientID, clientSecret, database, upstream, daemontest.OAuthToken, directedModels())
}

// directedModels lets through the models that tell the mock API what to do. The gateway refuses
// names that it does not know.
func directedModels() string {
	var lines strings.Builder
	for _, name := range []string{"cut-mid-stream", "error-mid-stream", "error-400", "error-429", "error-529", "stall"} {
		fmt.Fprintf(&lines, "  - {id: %[1]s, upstream_model: {oauth-proxyd: %[1]s}}\n", name)
	}
	return lines.String()
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
