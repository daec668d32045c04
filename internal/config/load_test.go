package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"oauth-proxyd/internal/config"
)

func write(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "test.hcl")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadUnreadable(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent.hcl")
	directory := t.TempDir()
	large := write(t, strings.Repeat("#\n", maxFileSize/2)+"#")
	pipe := filepath.Join(t.TempDir(), "pipe.hcl")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := write(t, "proxy {\n \xff\xfe\n}\n")
	for _, test := range []struct {
		name, path, want string
	}{
		{"absent", absent, absent + ": cannot read the configuration: no such file or directory"},
		{"directory", directory, directory + ": cannot read the configuration: is a directory"},
		{"pipe", pipe, pipe + ": cannot read the configuration: it is a pipe without a writer"},
		{"endless", "/dev/zero", "/dev/zero: the file is larger than 128KiB"},
		{"large", large, large + ": the file is larger than 128KiB"},
		{"binary", binary, binary + ": the file is not text in UTF-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Load(test.path)
			bad := asError(t, err)
			if bad.Error() != test.want {
				t.Errorf("got %q, want %q", bad.Error(), test.want)
			}
			if d := bad.Diagnostics()[0]; d.File != test.path || d.Line != 0 || d.Detail == "" {
				t.Errorf("diagnostic is %+v", d)
			}
			if errors.Is(err, fs.ErrNotExist) != (test.name == "absent") {
				t.Errorf("wraps the wrong cause: %v", errors.Unwrap(err))
			}
		})
	}
}

// Load reads a pipe, such as <(…) of a shell.
func TestLoadFromAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var writing sync.WaitGroup
	writing.Go(func() {
		defer w.Close()
		_, _ = io.WriteString(w, "log {\n  level = \"warn\"\n}\n") // a reader that left fails the test
	})
	defer writing.Wait()
	c, err := config.Load(fmt.Sprintf("/proc/self/fd/%d", r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if c.Log.Level != slog.LevelWarn {
		t.Errorf("level is %v", c.Log.Level)
	}
}

func TestOverrides(t *testing.T) {
	path := write(t, "log {\n  level = \"warn\"\n  format = \"json\"\n}\n")
	c, err := config.Load(path,
		config.Override{Attribute: "log.level", Value: "error", Origin: "OAUTH_PROXYD_LOG_LEVEL"},
		config.Override{Attribute: "tailscale.socket", Value: "/run/ts.sock", Origin: "TAILSCALE_SOCKET"},
		config.Override{Attribute: "proxy.listen_addr", Value: "127.0.0.1:9000", Origin: "--listen"},
		config.Override{Attribute: "proxy.upstream_url", Value: "http://127.0.0.1:8080", Origin: "--upstream"},
		config.Override{Attribute: "log.level", Value: "debug", Origin: "--log-level"},
	)
	if err != nil {
		t.Fatal(err)
	}
	if c.Log.Level != slog.LevelDebug {
		t.Errorf("level is %v: the last override wins", c.Log.Level)
	}
	if c.Log.Format != "json" {
		t.Errorf("format is %v: the file outranks the default", c.Log.Format)
	}
	if c.Tailscale.Socket != "/run/ts.sock" || c.Proxy.ListenAddr != "127.0.0.1:9000" || c.Proxy.UpstreamURL.Host != "127.0.0.1:8080" {
		t.Errorf("not overridden: %+v", c)
	}
}

func TestBadOverrides(t *testing.T) {
	for _, test := range []struct {
		name, attribute, value, want string
	}{
		{"unknown value", "log.format", "xml", `--option: log.format: must be "auto", "journal", "text" or "json", not "xml"`},
		{"empty", "log.level", "", `--option: log.level: must be "debug", "info", "warn" or "error", not ""`},
		{"credential", "proxy.upstream_url", "https://u:hunter2@a.com", "--option: proxy.upstream_url: must not hold a user name or a password"},
		{"ourselves", "proxy.upstream_url", "http://127.0.0.1:8080", `--option: proxy.upstream_url: the upstream is the daemon itself, which listens on "127.0.0.1:8080"`},
		{"not text", "proxy.max_connections", "5", `--option: nothing can override "proxy.max_connections"`},
		{"unknown attribute", "log.colour", "red", `--option: nothing can override "log.colour"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Parse("test.hcl", nil, config.Override{Attribute: test.attribute, Value: test.value, Origin: "--option"})
			bad := asError(t, err)
			if bad.Error() != test.want {
				t.Errorf("got  %s\nwant %s", bad.Error(), test.want)
			}
			if d := bad.Diagnostics()[0]; d.Origin != "--option" || d.File != "" || d.Line != 0 || d.Snippet != nil {
				t.Errorf("diagnostic is %+v", d)
			}
		})
	}
}

// A wrong value in the file is an error even if an override replaces it: without the override, the
// next start would fail.
func TestOverrideHidesNoError(t *testing.T) {
	_, err := config.Parse("test.hcl", []byte("log {\n  level = \"loud\"\n}\nlogs {\n}\n"),
		config.Override{Attribute: "log.level", Value: "silent", Origin: "--log-level"})
	bad := asError(t, err)
	if want := `test.hcl:2:11: log.level: must be "debug", "info", "warn" or "error", not "loud" (and 2 more)`; bad.Error() != want {
		t.Errorf("got  %s\nwant %s", bad.Error(), want)
	}
	if last := bad.Diagnostics()[2]; last.Origin != "--log-level" {
		t.Errorf("the override's error is not the last: %+v", bad.Diagnostics())
	}
}

func TestDiagnosticsAsJSON(t *testing.T) {
	_, err := config.Parse("test.hcl", []byte("log {\n\tlevel = \"loud\"\r\n}\n"))
	got, jsonErr := json.Marshal(asError(t, err).Diagnostics())
	if jsonErr != nil {
		t.Fatal(jsonErr)
	}
	want := `[{"severity":"error","summary":"log.level: must be \"debug\", \"info\", \"warn\" or \"error\", not \"loud\"",` +
		`"file":"test.hcl","line":2,"column":10,` +
		`"snippet":{"code":"    level = \"loud\"","start":12,"end":18}}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
