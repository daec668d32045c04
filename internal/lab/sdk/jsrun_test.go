package sdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// oldestNode is the first major version that the client supports, see the
// README of @anthropic-ai/sdk.
const oldestNode = 20

// hasNode tells whether the machine has what the JavaScript client needs. The
// Makefile says so loudly if not, which a test that passes cannot.
func hasNode(t *testing.T) bool {
	t.Helper()
	version, err := exec.CommandContext(t.Context(), "node", "--version").Output()
	if err != nil {
		t.Log("no node: the JavaScript client is not tested")
		return false
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestNode {
		t.Logf("node %s is too old: the JavaScript client is not tested", version)
		return false
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Log("no npm: the JavaScript client is not tested")
		return false
	}
	return true
}

// install fetches the client, unless the one of the lock file is there: npm ci
// leaves a copy of it when all is done.
func install(t *testing.T) {
	t.Helper()
	wanted := packages(t, "js/package-lock.json")
	delete(wanted, "") // the project itself, which the copy leaves out
	if have := packages(t, "js/node_modules/.package-lock.json"); len(have) == len(wanted) && sameVersions(have, wanted) {
		return
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--no-progress")
	npm.Dir = "js"
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}

// locked is what a lock file says of one package.
type locked struct{ Version, Integrity string }

// packages reads a lock file; there are none if it is absent.
func packages(t *testing.T, file string) map[string]locked {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var lock struct{ Packages map[string]locked }
	if err := json.Unmarshal(content, &lock); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return lock.Packages
}

func sameVersions(have, wanted map[string]locked) bool {
	for name, p := range wanted {
		if have[name] != p {
			return false
		}
	}
	return true
}

// script is a case that runs.
type script struct {
	cmd            *exec.Cmd
	stdin          io.Closer
	stdout, stderr bytes.Buffer
}

// startScript runs a case on these ways, one after the other. The credential is
// a variable of run.mjs; the environment has no other.
func startScript(ctx context.Context, t *testing.T, name, credential string, ways ...way) *script {
	t.Helper()
	home := t.TempDir()
	args := []string{"run.mjs", name}
	ca := filepath.Join(home, "ca.pem")
	write(t, ca, nil)
	for _, w := range ways {
		args = append(args, w.base)
		if pem := w.upstream.certificate(); pem != nil {
			write(t, ca, pem)
		}
	}
	s := &script{cmd: exec.CommandContext(ctx, "node", args...)}
	s.cmd.Dir = "js"
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "NODE_EXTRA_CA_CERTS=" + ca, credential}
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

// playScript runs a case on both ways of a lane.
func (l lane) playScript(t *testing.T, name, credential string) (direct, through []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), daemontest.Patience)
	defer cancel()
	reports := startScript(ctx, t, name, credential, l.direct, l.through).end(t)
	if len(reports) != 2 {
		t.Fatalf("%d reports", len(reports))
	}
	return reports[0], reports[1]
}
