package packages_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The version that is built here, and what each kind of package makes of it.
const (
	tag        = "v1.3.0-rc.1"
	debVersion = "1.3.0~rc.1-1"
	rpmVersion = "1.3.0~rc.1"
)

// clones are two places of the same commit, built with "make package".
type clones [2]string

// TestMain builds what all tests look at.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "op")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	err = build(dir)
	code := 1
	if err != nil {
		fmt.Fprintf(os.Stderr, "building the packages: %v\n", err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// placesEnv tells the tests where the clones are.
const placesEnv = "OAUTH_PROXYD_CLONES"

// places are where TestMain built.
func places() clones {
	dir := os.Getenv(placesEnv)
	return clones{filepath.Join(dir, "one"), filepath.Join(dir, "another", "place")}
}

// build commits the tree as it is, changes included, to a repository of its own, and builds two
// clones of it, in other folders and with other umasks. The first is signed.
func build(dir string) error {
	if err := os.Setenv(placesEnv, dir); err != nil {
		return err
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		return err
	}
	source := filepath.Join(dir, "source")
	if err := run(dir, "sh", "-c", `mkdir source && tar -C "$1" -c --exclude=./.git --exclude=./.cache --exclude=./bin --exclude=./dist --exclude=node_modules . | tar -C source -x`, "sh", root); err != nil {
		return err
	}
	commit := `git init -q && git add -A && git -c user.name=n -c user.email=e commit -q -m "as it is" && git tag ` + tag
	if err := run(source, "sh", "-c", commit); err != nil {
		return err
	}
	if err := run(dir, "sh", "-euc", makeKey, "sh", keyHome()); err != nil {
		return err
	}
	for i, place := range places() {
		if err := run(dir, "git", "clone", "-q", source, place); err != nil {
			return err
		}
		// The tools are taken from the tree, or kept there.
		tools := fmt.Sprintf(`umask %s; %s exec make package PACKAGE_CACHE="$1/.cache/bin"`, []string{"022", "077"}[i], []string{withKey, ""}[i])
		if err := run(place, "sh", "-c", tools, "sh", root, keyHome()); err != nil {
			return err
		}
	}
	return nil
}

// Shell code that makes a key, and that uses it.
const (
	makeKey = `mkdir -m 700 "$1"; gpg --homedir "$1" --batch --quiet --passphrase '' --quick-generate-key 'packages of a test' rsa2048 sign never
gpgconf --homedir "$1" --kill all`
	withKey = `SIGNING_KEY=$(gpg --homedir "$2" --batch --armor --export-secret-keys; gpgconf --homedir "$2" --kill all)`
)

// keyHome is the folder of GnuPG that has the key.
func keyHome() string { return filepath.Join(os.Getenv(placesEnv), "key") }

// run is for what takes minutes the first time.
func run(dir string, command ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	var out bytes.Buffer
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Dir, c.Stdout, c.Stderr = dir, &out, &out
	// A make around this one, and what it exported, is not part of the build.
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); name != "MAKEFLAGS" && name != "MAKELEVEL" && name != "VERSION" && name != "GOFLAGS" {
			c.Env = append(c.Env, variable)
		}
	}
	if err := c.Run(); err != nil {
		return fmt.Errorf("%q: %w\n%s", command, err, out.String())
	}
	return nil
}

// must returns what a command prints on both of its outputs.
func must(t *testing.T, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v; .ci/deps installs what the tests need\n%s", command, err, out)
	}
	return string(out)
}

// built finds an artifact in the first clone.
func built(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(places()[0], "dist", pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %q, %v; want one", pattern, found, err)
	}
	return found[0]
}
