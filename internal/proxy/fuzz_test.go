package proxy

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/config"
)

func FuzzMerge(f *testing.F) {
	f.Add("a, b", "c", "v")
	f.Add(`a="x, v"`, ",,", "v")
	f.Add(`"`, `\`, `"v`)
	f.Fuzz(func(t *testing.T, first, second, ours string) {
		rule := config.Header{Name: "X-A", Value: ours, Mode: config.Merge}
		h := http.Header{"X-A": {first, second}}
		apply(rule, h, ruleSubject{})
		once := slices.Clone(h["X-A"])
		want := config.AppendElements(nil, first, second)
		if got := config.AppendElements(nil, once...); balanced(first, second, ours) && (len(got) < len(want) || !slices.Equal(got[:len(want)], want)) {
			t.Errorf("%q and %q became %q", first, second, once)
		}
		if result := apply(rule, h, ruleSubject{}); balanced(first, second, ours) && (result != RulePresent || !slices.Equal(h["X-A"], once)) {
			t.Errorf("a second merge made %q of %q", h["X-A"], once)
		}
		if len(h["X-A"]) != 1 {
			t.Errorf("%d lines", len(h["X-A"]))
		}
	})
}

// balanced: no quoted string is left open, which would swallow what follows.
func balanced(lines ...string) bool {
	for _, l := range lines {
		if strings.ContainsAny(l, `"\`) {
			return false
		}
	}
	return true
}

func FuzzRequestID(f *testing.F) {
	f.Add("req_abcdefghijklmnopqrstuvwxyZ")
	f.Add("req_abcdefghijklmnopqrstuvwxy\n")
	f.Fuzz(func(t *testing.T, sent string) {
		got := requestID(http.Header{"X-Request-Id": {sent}})
		if !wellFormedRequestID(got) || strings.Trim(got[4:], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			t.Errorf("%q became %q", sent, got)
		}
	})
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/", "*", "//a", "http://h", "http://h?a", "http://h//a?b", "a:b", "/a://b", "?", "://"} {
		f.Add("GET", s)
		f.Add("OPTIONS", s)
	}
	f.Fuzz(func(t *testing.T, method, sent string) {
		got := originForm(method, sent)
		switch {
		case got == "", got == "*" && method == http.MethodOptions:
		case got[0] != '/':
			t.Errorf("%q became %q", sent, got)
		case sent[0] == '/' && got != sent:
			t.Errorf("%q became %q", sent, got)
		case got != "/" && !strings.HasSuffix(sent, got) && !strings.HasSuffix(sent, got[1:]):
			t.Errorf("%q became %q, which is not its end", sent, got)
		}
	})
}

// FuzzEventTail compares the tail with a reading of the whole stream.
func FuzzEventTail(f *testing.F) {
	for _, s := range []string{"", "\n", "a\n", "a\n\n", "a\r\r", "a\r\n", "a\r\n\r\n", "a\n\r\n", "a\r\n\r", "a\n\nb", "aaaaa\r\n\r\n", "a\r\n\n"} {
		f.Add(s, uint8(0))
		f.Add(s, uint8(7))
	}
	f.Fuzz(func(t *testing.T, sent string, size uint8) {
		var tail sseTail
		for p := range slices.Chunk([]byte(sent), int(size)+1) {
			tail.write(p)
		}
		lines := strings.ReplaceAll(strings.ReplaceAll(sent, "\r\n", "\n"), "\r", "\n")
		want := lines == "" || lines == "\n" || strings.HasSuffix(lines, "\n\n")
		if tail.atBoundary() != want {
			t.Errorf("after %q: %v, want %v", sent, tail.atBoundary(), want)
		}
	})
}
