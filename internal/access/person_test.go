package access

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"oauth-proxyd/internal/config"
)

// For any header of a trusted gateway, a person's name is short, printable and cannot end its
// quotes in a log, and there is a reason if the header names nobody.
func FuzzPerson(f *testing.F) {
	for _, seed := range []string{"ann@example.com", "Ann Example", "", "ann,bob", "a\u202eb", "\xff", `"a"`, "Bearer x", strings.Repeat("a", 200)} {
		f.Add(seed, seed)
		f.Add(seed, "bob")
	}
	gateways := config.Gateways{From: []config.Source{{Kind: config.Tailnet}}, Header: "X-Person"}
	f.Fuzz(func(t *testing.T, one, other string) {
		name, doubt := person(http.Header{"X-Person": {one, other}}, Identity{Source: config.Tailnet}, netip.Addr{}, gateways)
		if (name == "") == (doubt == "") {
			t.Fatalf("name %q, doubt %q", name, doubt)
		}
		if len(name) > 128 || !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\r\n\x1b,\"\\") || strings.Contains(name, "sk-ant-") {
			t.Errorf("believed: %q", name)
		}
		if name != "" && (strings.TrimSpace(one) != name || strings.TrimSpace(other) != name) {
			t.Errorf("%q and %q are %q", one, other, name)
		}
	})
}
