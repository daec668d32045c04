package tailnet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// binaries are the paths of Tailscale's two commands.
type binaries struct{ tailscale, tailscaled string }

// findBinaries has make build the commands where that is still to be done: make alone says where
// they are kept and for how long.
func findBinaries() (binaries, error) {
	root, err := repository()
	if err != nil {
		return binaries{}, err
	}
	build := exec.Command("make", "--silent", "--no-print-directory", "-C", root, "tailscaled")
	build.Stderr = os.Stderr // it says that it takes minutes
	// A make around the test would talk to this one.
	build.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	out, err := build.Output()
	if err != nil {
		return binaries{}, fmt.Errorf("building tailscaled: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	dir := filepath.Join(root, lines[len(lines)-1])
	return binaries{filepath.Join(dir, "tailscale"), filepath.Join(dir, "tailscaled")}, nil
}

// repository is the folder of the daemon's module, above the working directory.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the repository: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(text, []byte("module oauth-proxyd\n")) {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", errors.New("looking for the repository: run this inside of it")
		}
		dir = above
	}
}
