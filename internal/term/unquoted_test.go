package term_test

import (
	"testing"

	"oauth-proxyd/internal/term"
)

func TestUnquoted(t *testing.T) {
	for text, want := range map[string]string{
		"no quotes": "no quotes",
		`malformed MIME header line: "secret"; "a \"secret\" \\" and more`: `malformed MIME header line: "…"; "…" and more`,
		"a quote that is \"cut off \\":                                     `a quote that is "…"`,
		"line \"breaks\nin\" it":                                           `line "…" it`,
	} {
		if got := term.Unquoted(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
