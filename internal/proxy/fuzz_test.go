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
		rule := config.Header{Name: "X-A", Value: ours, Mode: config.ModeMerge}
		h := http.Header{"X-A": {first, second}}
		apply(rule, h, &http.Request{}, "")
		once := slices.Clone(h["X-A"])
		want := config.AppendElements(nil, first, second)
		if got := config.AppendElements(nil, once...); balanced(first, second, ours) && (len(got) < len(want) || !slices.Equal(got[:len(want)], want)) {
			t.Errorf("%q and %q became %q", first, second, once)
		}
		if result := apply(rule, h, &http.Request{}, ""); balanced(first, second, ours) && (result != rulePresent || !slices.Equal(h["X-A"], once)) {
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

// FuzzEventScanner compares the scanner of pieces with a reading of the whole stream.
func FuzzEventScanner(f *testing.F) {
	for _, s := range []string{"", "\n", "a\n", "a\n\n", "a\r\r", "a\r\n", "a\r\n\r\n", "a\n\r\n", "a\r\n\r", "a\n\nb", "aaaaa\r\n\r\n", "a\r\n\n"} {
		f.Add(s, uint8(0))
		f.Add(s, uint8(7))
	}
	f.Add("event: error\ndata: {}\n\nevent: x\ndata\n\nevent:error\rdata:\r\revent: errors\ndata\n\n", uint8(3))
	f.Add("event: ping\ndata: {}\n\n:\n\nevent:ping\r\ndata\r\n\r\nevent: pings\rdata: a\r\r", uint8(3))
	f.Fuzz(func(t *testing.T, sent string, size uint8) {
		var scanner eventScanner
		var data, pings int
		for p := range slices.Chunk([]byte(sent), int(size)+1) {
			d, n := scanner.write(p)
			data, pings = data+d, pings+n
		}
		lines := strings.ReplaceAll(strings.ReplaceAll(sent, "\r\n", "\n"), "\r", "\n")
		want := lines == "" || lines == "\n" || strings.HasSuffix(lines, "\n\n")
		if scanner.atBoundary() != want {
			t.Errorf("after %q: %v, want %v", sent, scanner.atBoundary(), want)
		}
		if wantData, wantPings, failing := countEvents(lines); data != wantData || pings != wantPings || scanner.failing != failing {
			t.Errorf("%q has %d events and %d pings, the last an error: %v; want %d and %d, %v", sent, data, pings, scanner.failing, wantData, wantPings, failing)
		}
	})
}

// countEvents reads a whole stream with lines that end with LF.
func countEvents(stream string) (data, pings int, failing bool) {
	name, hasData := "", false
	lines := strings.Split(stream, "\n")
	for _, line := range lines[:len(lines)-1] {
		field, value, _ := strings.Cut(line, ":")
		switch {
		case field == "event":
			name = strings.TrimPrefix(value, " ")
		case field == "data":
			hasData = true
		case line != "":
		case hasData && name != "ping":
			data++
			failing = name == "error"
			name, hasData = "", false
		default:
			pings++
			name, hasData = "", false
		}
	}
	return data, pings, failing
}
