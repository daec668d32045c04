package sdk_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// report is what a client said and got, line by line.
type report struct {
	base  string // of the URL, which is another on each way
	lines []string
	ids   []string // each x-request-id
}

func (r *report) add(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.lines = append(r.lines, strings.ReplaceAll(line, r.base, "BASE"))
}

// response notes a response as it came, before the SDK had a look. The id that the daemon gives to
// every request is the one thing that it may add: it is kept apart.
func (r *report) response(resp *http.Response) {
	r.ids = append(r.ids, resp.Header.Values("X-Request-Id")...)
	r.add("response %d, length %d, unzipped: %t", resp.StatusCode, resp.ContentLength, resp.Uncompressed)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		if name != "X-Request-Id" {
			r.add("  %s: %q", name, resp.Header[name])
		}
	}
}

// wantSame compares a report on the direct way with the one through the daemon.
func wantSame(t *testing.T, what string, direct, through []string) {
	t.Helper()
	const shown = 5
	if len(direct) != len(through) {
		t.Errorf("%s: %d lines directly, %d through the daemon", what, len(direct), len(through))
	}
	differences := 0
	for i := range min(len(direct), len(through)) {
		if direct[i] == through[i] {
			continue
		}
		if differences++; differences <= shown {
			t.Errorf("%s, line %d:\n directly %s\n  through %s", what, i+1, direct[i], through[i])
		}
	}
}

// wantAll looks for what must be in a report, so that two empty ones are not good enough.
func wantAll(t *testing.T, lines []string, words ...string) {
	t.Helper()
	text := strings.Join(lines, "\n")
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in the report:\n%s", w, text)
		}
	}
}

// wantSameRequests compares what the two APIs of a lane received, and looks for all the words in
// it.
func (l lane) wantSameRequests(t *testing.T, words ...string) {
	t.Helper()
	direct, _ := l.direct.upstream.requests()
	through, protocols := l.through.upstream.requests()
	l.compareRequests(t, direct, through, protocols, words...)
}

// wantSameRequestsInAnyOrder is wantSameRequests for a client that sends several at once.
func (l lane) wantSameRequestsInAnyOrder(t *testing.T) {
	t.Helper()
	direct, _ := l.direct.upstream.requests()
	through, protocols := l.through.upstream.requests()
	slices.SortFunc(direct, slices.Compare)
	slices.SortFunc(through, slices.Compare)
	l.compareRequests(t, direct, through, protocols)
}

func (l lane) compareRequests(t *testing.T, direct, through [][]string, protocols []string, words ...string) {
	t.Helper()
	wantAll(t, slices.Concat(direct...), words...)
	wantSame(t, "what the API saw", slices.Concat(direct...), slices.Concat(through...))
	if !slices.Equal(protocols, []string{l.protocol}) {
		t.Errorf("the daemon spoke %q, want %s", protocols, l.protocol)
	}
}
