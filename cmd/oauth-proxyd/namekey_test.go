package main_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// hashing starts a service that hashes names with a key in dir. Without dir, it has no folder for
// it.
func hashing(t *testing.T, dir, identity string) unit {
	t.Helper()
	d := runTailscaled(t, "Running")
	d.Deliver(alice)
	u := unit{config: forwarding(newUpstream(t).URL, "", onTailnet(d, "wait"), fmt.Sprintf("log {\n  identity = %q\n}\n", identity))}
	if dir != "" {
		u.env = []string{"STATE_DIRECTORY=" + dir}
	}
	return u
}

// hash returns the name of alice's node in the log.
func (s *service) hash(t *testing.T) string {
	t.Helper()
	get(t, s.url()+"/echo").Want(t, 200)
	_, rest, _ := strings.Cut(s.log.Next(t, `"outcome":`, `"node":"`), `"node":"`)
	hash, _, _ := strings.Cut(rest, `"`)
	if len(hash) != 16 || strings.Trim(hash, "0123456789abcdef") != "" {
		t.Fatalf("not a hash: %q", hash)
	}
	return hash
}

func TestHashSurvivesRestartAndUpgrade(t *testing.T) {
	t.Parallel()
	dir := daemontest.TempDir(t)
	s, _ := installed(t, hashing(t, dir, "hashed"))
	first := s.hash(t)
	if code, _, errs := s.command("upgrade"); code != 0 {
		t.Fatalf("upgrade: %s", errs)
	}
	s.mainProcess()
	if got := s.hash(t); got != first {
		t.Errorf("after an upgrade %s, before %s", got, first)
	}
	wantOnly(t, dir, "identity.key", 0o600)
	again := start(t, hashing(t, dir, "hashed"))
	if got := again.hash(t); got != first {
		t.Errorf("after a restart %s, before %s", got, first)
	}
	if key := read(t, filepath.Join(dir, "identity.key")); len(key) != 32 || strings.Contains(again.log.Text(), "the hash key of log.identity is temporary") {
		t.Errorf("a key of %d bytes; the log:\n%s", len(key), again.log.Text())
	}
}

// Both services can read the same machine ID, which must not be the key.
func TestHashNeedsTheSecretKey(t *testing.T) {
	t.Parallel()
	one := start(t, hashing(t, daemontest.TempDir(t), "hashed")).hash(t)
	if other := start(t, hashing(t, daemontest.TempDir(t), "hashed")).hash(t); one == other {
		t.Errorf("two keys give the same hash %s", one)
	}
}

func TestKeyIsMadeOnlyForHashes(t *testing.T) {
	t.Parallel()
	dir := daemontest.TempDir(t)
	s := start(t, hashing(t, dir, "none"))
	get(t, s.url()+"/echo").Want(t, 200)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// badKey is a key file that cannot be used, and what the log says about it.
type badKey struct {
	name   string
	make   func(file string) error
	warned string
}

func badKeys() []badKey {
	whole := strings.Repeat("k", 32)
	write := func(content string, mode os.FileMode) func(string) error {
		return func(file string) error { return os.WriteFile(file, []byte(content), mode) }
	}
	return []badKey{
		{"empty", write("", 0o600), "has 0 bytes, not 32"},
		{"short", write(whole[:31], 0o600), "has 31 bytes, not 32"},
		{"long", write(whole+"k", 0o600), "has 33 bytes, not 32"},
		{"readable by others", write(whole, 0o644), "is readable by others"},
		{"a folder", func(file string) error { return os.Mkdir(file, 0o700) }, "not 32"},
		{"a link", func(file string) error { return os.Symlink("/etc/machine-id", file) }, "is readable by others"},
		{"not to be made", func(file string) error { return os.Remove(filepath.Dir(file)) }, "no such file or directory"},
	}
}

func TestBadKeyFileIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, row := range badKeys() {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(daemontest.TempDir(t), "state")
			file := filepath.Join(dir, "identity.key")
			if err := errors.Join(os.Mkdir(dir, 0o700), row.make(file)); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(file)
			s := start(t, hashing(t, dir, "hashed"))
			s.log.Next(t, `"level":"WARN"`, "the hash key of log.identity is temporary", row.warned)
			s.hash(t)
			if after, _ := os.Lstat(file); before != nil && (after == nil || !os.SameFile(before, after)) {
				t.Error("the file was replaced")
			}
		})
	}
}

func TestKeyWithoutStateDirectory(t *testing.T) {
	t.Parallel()
	s := start(t, hashing(t, "", "hashed"))
	s.log.Next(t, `"level":"WARN"`, "the hash key of log.identity is temporary", "no state directory", "StateDirectory=")
	s.hash(t)
}
