package daemon

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

func TestNamingOfEachMode(t *testing.T) {
	dir := t.TempDir()
	n := newNaming(dir, slog.New(slog.DiscardHandler))
	if full := n("full"); full.withholds() || !slices.Equal(full.warnings([]string{"w"}), []string{"w"}) {
		t.Error("full withholds")
	}
	none := n("none")
	if got := none.name("alice"); got != "" || !none.withholds() {
		t.Errorf("none: %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, keyFile)); err == nil {
		t.Error("a key was made that nothing needs")
	}
	hashed := n("hashed")
	if a, b := hashed.name("alice"), hashed.name("bob"); a == b || a != n("hashed").name("alice") || len(a) != 16 {
		t.Errorf("hashed: %q, %q", a, b)
	}
	if again := newNaming(dir, slog.New(slog.DiscardHandler))("hashed"); again.name("alice") != hashed.name("alice") {
		t.Error("the next process hashes with another key")
	}
	if got := hashed.warnings([]string{"alice", "bob"}); !slices.Equal(got, []string{"2 health warnings, withheld by log.identity"}) {
		t.Errorf("warnings: %q", got)
	}
}

func TestNamingHidesErrors(t *testing.T) {
	for name, n := range map[string]naming{"full": {}, "none": {func(string) string { return "" }}} {
		if n.hide(errors.New("why")).Error() != "why" || n.hide(nil) != nil {
			t.Errorf("%s: the error is lost", name)
		}
	}
}

func TestNamingOfSenders(t *testing.T) {
	tailnet := func(id access.Identity) access.Identity {
		id.Source, id.Node = config.Tailnet, "box"
		return id
	}
	hidden := naming{func(string) string { return "" }}
	for _, row := range []struct {
		naming      naming
		id          access.Identity
		name, entry string
	}{
		{naming{}, access.Identity{Source: access.Other}, "source other", ""},
		{naming{}, access.Identity{Source: config.Local}, "source local", "local"},
		{naming{}, tailnet(access.Identity{User: "a@example.com"}), "box (a@example.com)", "node:box"},
		{naming{}, tailnet(access.Identity{Tags: []string{"tag:a", "tag:b"}}), "box (tag:a, tag:b)", "tag:a"},
		{naming{}, tailnet(access.Identity{}), "box", "node:box"},
		{hidden, tailnet(access.Identity{User: "a@example.com"}), "source tailnet", ""},
	} {
		if name, entry := row.naming.sender(row.id); name != row.name || entry != row.entry {
			t.Errorf("%+v: %q, %q; want %q, %q", row.id, name, entry, row.name, row.entry)
		}
	}
}
