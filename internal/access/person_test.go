package access

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"oauth-proxyd/internal/config"
)

// Whatever a believed gateway sends, a person's name is short, printable and cannot leave its
// quotes in a log, and a header that names nobody has a reason.
func FuzzPerson(f *testing.F) {
	for _, seed := range []string{"ann@example.com", "Ann Example", "", "ann,bob", "a\u202eb", "\xff", `"a"`, "Bearer x", strings.Repeat("a", 200)} {
		f.Add(seed, seed)
		f.Add(seed, "bob")
	}
	gateways := config.Identity{From: []config.Source{{Kind: config.Tailnet}}, Header: "X-Person"}
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

// A program of this host can use any address of loopback: none of them makes it another person.
func TestLoopbackIsOnePerson(t *testing.T) {
	var id Identity
	here := id.Key(netip.MustParseAddr("127.0.0.1"))
	for _, addr := range []string{"127.0.0.2", "127.200.1.9", "::1"} {
		if got := id.Key(netip.MustParseAddr(addr)); got != here {
			t.Errorf("%s is %q, and 127.0.0.1 %q", addr, got, here)
		}
	}
	if other := id.Key(netip.MustParseAddr("10.0.0.1")); other == here {
		t.Errorf("10.0.0.1 is %q, too", other)
	}
}
