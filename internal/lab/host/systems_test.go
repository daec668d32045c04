package host_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"oauth-proxyd/internal/lab/host"
)

// systems are the ones on which the package ran.
type systems struct {
	mu   sync.Mutex
	rows map[string]string // by the name of the release
}

// add notes what a release has, as its own programs tell.
func (s *systems) add(t *testing.T, release host.Release, l *lab) {
	t.Helper()
	if t.Failed() {
		return
	}
	systemd, _, _ := strings.Cut(l.must("systemctl", "--version"), "\n")
	_, systemd, _ = strings.Cut(strings.TrimSuffix(systemd, ")"), "(")
	kernel := regexp.MustCompile(`^\d+\.\d+`).FindString(l.must("uname", "-r"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = map[string]string{}
	}
	s.rows[release.Name] = fmt.Sprintf("| %s | %s | %s |\n", release.Name, systemd, kernel)
}

// The table stands between these lines of the README.
const (
	tableBegin = "<!-- make test-hosts writes this table -->\n"
	tableEnd   = "<!-- end of the table -->\n"
)

func (s *systems) write(t *testing.T, readme string) {
	t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := bytes.Cut(text, []byte(tableBegin))
	_, after, ended := bytes.Cut(rest, []byte(tableEnd))
	if !found || !ended {
		t.Fatalf("%s has no place for the table", readme)
	}
	var table strings.Builder
	table.WriteString("| system | systemd | kernel |\n|---|---|---|\n")
	for _, release := range host.Releases() {
		table.WriteString(s.rows[release.Name])
	}
	content := string(before) + tableBegin + table.String() + tableEnd + string(after)
	if err := os.WriteFile(readme, []byte(content), 0o644); err != nil { //nolint:gosec // all read it
		t.Fatal(err)
	}
}
