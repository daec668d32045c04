package main_test

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

// shells are commands that make a real shell print its completions.
func shells() map[string][]string {
	return map[string][]string{
		"bash": {"bash", "testdata/complete/bash"},
		"zsh":  {"zsh", "-f", "testdata/complete/zsh"},
		"fish": {"fish", "--no-config", "testdata/complete/fish"},
	}
}

func TestShellCompletion(t *testing.T) {
	t.Parallel()
	dir := daemontest.TempDir(t)
	file := filepath.Join(dir, "a-file.hcl")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		line []string
		want []string
	}{
		{"a command", []string{"se"}, []string{"selftest", "serve"}},
		{"an option of the command that is meant", []string{"--log-f"}, []string{"--log-format"}},
		{"its value", []string{"--log-format", ""}, []string{"auto", "journal", "json", "text"}},
		{"a value of a command", []string{"serve", "--log-level", "w"}, []string{"warn"}},
		{"a file", []string{"check", "--config", filepath.Join(dir, "a-f")}, []string{"a-file.hcl"}},
		{"an argument", []string{"completion", ""}, []string{"bash", "fish", "zsh"}},
		{"the command to be helped with", []string{"help", "sel"}, []string{"selftest"}},
		{"nothing that there is not", []string{"check", "--wrong"}, nil},
	}
	for shell := range shells() {
		script := completionScript(t, shell)
		for _, tt := range tests {
			t.Run(shell+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				if got := offered(t, shell, script, tt.line...); !slices.Equal(got, tt.want) {
					t.Errorf("%q: offered %q, want %q", tt.line, got, tt.want)
				}
			})
		}
	}
}

// The scripts complete each command and each option that the help lists.
func TestCompletionIsComplete(t *testing.T) {
	t.Parallel()
	commands := helpCommands(t)
	for shell := range shells() {
		script := completionScript(t, shell)
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			if got := offered(t, shell, script, ""); !slices.Equal(got, slices.Sorted(slices.Values(commands))) {
				t.Errorf("offered the commands %q, want %q", got, commands)
			}
			for _, c := range commands {
				want := slices.Sorted(slices.Values(append(helpOptions(t, c), "--help")))
				if len(want) == 1 {
					continue // its argument is offered, not that
				}
				if got := offered(t, shell, script, c, "--"); !slices.Equal(got, want) {
					t.Errorf("%s: offered %q, want %q", c, got, want)
				}
			}
		})
	}
}

// helpCommands returns the commands that the help lists.
func helpCommands(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, found := range regexp.MustCompile(`(?m)^  ([a-z]+) +[a-z]`).FindAllStringSubmatch(output(t, "oauth-proxyd", "help"), -1) {
		names = append(names, found[1])
	}
	if len(names) < 8 {
		t.Fatalf("help lists the commands %q", names)
	}
	return names
}

// helpOptions returns the options that the help of a command lists.
func helpOptions(t *testing.T, command string) []string {
	t.Helper()
	var options []string
	for _, found := range regexp.MustCompile(`(?m)^  (--[a-z-]+)`).FindAllStringSubmatch(output(t, "oauth-proxyd", command, "--help"), -1) {
		options = append(options, found[1])
	}
	return options
}

func completionScript(t *testing.T, shell string) (file string) {
	t.Helper()
	file = filepath.Join(daemontest.TempDir(t), "completion."+shell)
	if err := os.WriteFile(file, []byte(output(t, "oauth-proxyd", "completion", shell)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// offered returns the completions of the last word, sorted; of files the last element.
func offered(t *testing.T, shell, script string, line ...string) []string {
	t.Helper()
	out := output(t, slices.Concat(shells()[shell], []string{script}, line)...)
	words := make(map[string]bool)
	for word := range strings.Lines(out) {
		if word = strings.TrimSpace(word); word != "" {
			words[word[strings.LastIndex(word, "/")+1:]] = true
		}
	}
	return slices.Sorted(maps.Keys(words))
}

// output returns what a command prints. A command that hangs or fails ends the test.
func output(t *testing.T, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var errs bytes.Buffer
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%q: %v; .ci/deps installs what the tests need\n%s", command, err, errs.String())
	}
	return string(out)
}
