package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// jsSDK is one major version of the JavaScript SDK, by its name in package.json.
type jsSDK struct {
	name, library string
	signature     []string // what its requests look like to the API
}

// jsSDKs are today's major and the one before it, which many programs still use.
func jsSDKs() []jsSDK {
	return []jsSDK{
		{"v1", "@anthropic-ai/sdk", []string{`Anthropic-Version: "2026-10-21"`, `Authorization: "[api_key]"`}},
		{"v0", "sdk-before", []string{`Anthropic-Version: "2023-06-01"`}},
	}
}

// onEachJS runs a test with each major of the SDK for both kinds of API.
func onEachJS(t *testing.T, test func(*testing.T, jsSDK, lane)) {
	t.Helper()
	for _, sdk := range jsSDKs() {
		t.Run(sdk.name, func(t *testing.T) {
			t.Parallel()
			onEachLane(t, func(t *testing.T, l lane) { test(t, sdk, l) })
		})
	}
}

// jsCase is a script and what run.mjs is told in its environment, the credential first of all.
type jsCase struct {
	script string
	env    []string
}

// script is a case that runs.
type script struct {
	cmd            *exec.Cmd
	stdin          io.Closer
	stdout, stderr bytes.Buffer
}

// startScript runs a case on these ways, one after the other.
func startScript(ctx context.Context, t *testing.T, sdk jsSDK, c jsCase, ways ...way) *script {
	t.Helper()
	home := t.TempDir()
	args := []string{"run.mjs", sdk.library, c.script}
	for _, w := range ways {
		args = append(args, w.base)
	}
	s := &script{cmd: exec.CommandContext(ctx, "node", args...)}
	s.cmd.Dir = "js"
	s.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, trust(t, home, ways...)}, c.env...)
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin = stdin
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// trust is the variable by which Node.js and Claude Code trust the certificates of the APIs at the
// end of these ways, in a file in dir.
func trust(t *testing.T, dir string, ways ...way) string {
	t.Helper()
	var all []byte
	for _, w := range ways {
		all = append(all, w.upstream.certificate()...)
	}
	file := filepath.Join(dir, "ca.pem")
	write(t, file, all)
	return "NODE_EXTRA_CA_CERTS=" + file
}

// end lets it end and returns a report for each way.
func (s *script) end(t *testing.T) [][]string {
	t.Helper()
	s.stdin.Close()
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("node: %v\n%s", err, s.stderr.String())
	}
	var reports [][]string
	if err := json.Unmarshal(s.stdout.Bytes(), &reports); err != nil {
		t.Fatalf("%v in %q", err, s.stdout.String())
	}
	return reports
}

// playScript runs a case on ways to its end, and returns a report for each.
func playScript(t *testing.T, sdk jsSDK, c jsCase, ways ...way) [][]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), daemontest.Patience)
	defer cancel()
	reports := startScript(ctx, t, sdk, c, ways...).end(t)
	if len(reports) != len(ways) {
		t.Fatalf("%d reports", len(reports))
	}
	return reports
}

// playScript runs a case on both ways of a lane.
func (l lane) playScript(t *testing.T, sdk jsSDK, name, credential string) (direct, through []string) {
	t.Helper()
	reports := playScript(t, sdk, jsCase{name, []string{credential}}, l.direct, l.through)
	return reports[0], reports[1]
}
