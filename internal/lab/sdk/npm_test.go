package sdk_test

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// oldestNode is the first major version that the SDK supports, see the README of @anthropic-ai/sdk.
// Claude Code brings its own.
const oldestNode = 20

// hasNode tells whether the machine has what the clients from npm need. The Makefile says so loudly
// if not, which a test that passes cannot.
func hasNode(t *testing.T) bool {
	t.Helper()
	version, err := exec.CommandContext(t.Context(), "node", "--version").Output()
	if err != nil {
		t.Log("no node: the clients from npm are not tested")
		return false
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestNode {
		t.Logf("node %s is too old: the clients from npm are not tested", version)
		return false
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Log("no npm: the clients from npm are not tested")
		return false
	}
	return true
}

// install fetches the clients, unless those of the lock file are there. Tests that do so at once
// wait for the first of them.
func install(t *testing.T) {
	t.Helper()
	lock, err := os.Open("js/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	wanted, err := os.ReadFile(lock.Name())
	if err != nil {
		t.Fatal(err)
	}
	// npm ci begins by removing the folder, so this copy is from after the last one.
	const installed = "js/node_modules/.installed-lock.json"
	if have, err := os.ReadFile(installed); err == nil && bytes.Equal(have, wanted) {
		return
	}
	// No script is needed: Claude Code's copies the program that is a package of its own.
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress")
	npm.Dir = "js"
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	write(t, installed, wanted)
}
