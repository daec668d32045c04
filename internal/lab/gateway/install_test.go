package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// install fetches Claude Code as npm distributes it, unless the version of the lock file is there.
// The package has an executable for this machine that needs no Node.js, so npm runs no script of
// it.
func install() error {
	there, err := installed()
	if err != nil || there {
		return err
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-progress")
	npm.Dir = "js"
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
}

// installed reports whether the packages of the lock file are there. npm ci leaves a list of what
// it installed, without the packages for other platforms.
func installed() (bool, error) {
	wanted, err := packages("js/package-lock.json")
	if err != nil {
		return false, err
	}
	have, err := packages("js/node_modules/.package-lock.json")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	for name, p := range have {
		if wanted[name] != p {
			return false, err
		}
	}
	return len(have) > 1, err // the package, and its executable
}

// locked is what a lock file says of one package.
type locked struct{ Version, Integrity string }

// packages reads a lock file.
func packages(file string) (map[string]locked, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var lock struct{ Packages map[string]locked }
	if err := json.Unmarshal(content, &lock); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return lock.Packages, nil
}

// officialBinary is the executable for this machine.
func officialBinary(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("js/node_modules/@anthropic-ai/claude-code-linux-*/claude")
	if err != nil || len(found) == 0 {
		t.Fatalf("npm installed no executable for this machine: %q, %v", found, err)
	}
	path, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return path
}
