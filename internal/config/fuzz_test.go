package config_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/term"
)

// Parse neither panics nor accepts an invalid file, and its errors point into the file.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := config.Parse("fuzz.hcl", src)
		if err == nil {
			checkInvariants(t, c)
			return
		}
		bad := asError(t, err)
		checkSize(t, bad)
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("the error is not one line: %q", err.Error())
		}
		for _, d := range bad.Diagnostics() {
			checkDiagnostic(t, src, d)
		}
		for _, width := range []int{0, 1, 80} {
			bad.Print(term.Printer{Out: io.Discard, Width: width, Color: true})
		}
	})
}

// A text is repeated as often as fits into a file, in place of a number, a list, a template or a
// string. The file is refused or read within a second.
func FuzzRepeated(f *testing.F) {
	contexts := []string{
		"%s", "proxy {\n queue_limit = %s\n}\n", "access {\n allow = [%s]\n}\n", "log {\n level = \"%s\"\n}\n", "log {\n%s}\n",
		"log {\n level = <<A\n%s\nA\n}\n", "log {\n level = \"${%s}\"\n}\n", "log {\n level = {%s}\n}\n", "header \"x-key\" {\n value = \"%s\"\n}\n",
	}
	for context := range contexts {
		for _, s := range []string{"1e9", "9", "1e9999999*", "-", "1%", "(", "[", "[1e99]", "${", "%{if 1>", "[for a in ", "{a=", "?1:", "[*]", ".0", "1e999 = 1\n", "a = 1\n", "\"a\",", "\\u", "\u0301"} {
			f.Add(uint8(context), s, uint32(300))
		}
	}
	f.Fuzz(func(t *testing.T, context uint8, s string, times uint32) {
		times = min(times%maxFileSize, uint32(maxFileSize/(len(s)+1)))
		src := strings.ReplaceAll(contexts[int(context)%len(contexts)], "%s", strings.Repeat(s, int(times)))
		var err error
		within(t, func() { _, err = config.Parse("fuzz.hcl", []byte(src)) })
		if err != nil {
			checkSize(t, asError(t, err))
		}
	})
}

func checkDiagnostic(t *testing.T, src []byte, d config.Diagnostic) {
	t.Helper()
	if d.Summary == "" || d.Severity != "error" || d.File != "fuzz.hcl" {
		t.Errorf("incomplete: %+v", d)
	}
	if d.Snippet == nil {
		return
	}
	checkSnippet(t, src, d)
}

func checkSnippet(t *testing.T, src []byte, d config.Diagnostic) {
	t.Helper()
	if lines := bytes.Count(src, []byte("\n")) + 1; d.Line < 1 || d.Line > lines {
		t.Fatalf("line %d of %d: %+v", d.Line, lines, d)
	}
	s := d.Snippet
	if n := utf8.RuneCountInString(s.Code); n > 72 || s.Start < 0 || s.Start >= s.End || s.Start > n || s.End > n+1 || d.Column < 1 {
		t.Errorf("points out of its line: %+v %+v", d, s)
	}
}

func checkInvariants(t *testing.T, c *config.Config) {
	t.Helper()
	p := c.Proxy
	for _, d := range []int64{
		int64(p.ConnectTimeout), int64(p.ResponseHeaderTimeout), int64(p.IdleTimeout), int64(p.QueueTimeout),
		int64(p.DrainTimeout), int64(p.HandoverTimeout), int64(p.Retry.Backoff), int64(c.Metrics.TextfileInterval),
		p.MaxRequestBody, p.Retry.Memory, int64(p.Retry.Attempts), int64(p.MaxConnections),
	} {
		if d <= 0 {
			t.Errorf("zero or negative: %+v", c)
		}
	}
	u := *p.UpstreamURL
	if u.Host == "" || u.User != nil || u.Path+u.RawQuery+u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" {
		t.Errorf("upstream is %q", u.String())
	}
	if len(c.Access.Allow) == 0 || p.UpstreamIs(p.ListenAddr) {
		t.Errorf("accepted: %+v", c)
	}
	for _, h := range c.Headers {
		checkRule(t, h)
	}
	if changes := config.Diff(c, c); len(changes) > 0 {
		t.Errorf("differs from itself: %v", changes)
	}
}

func checkRule(t *testing.T, h config.Header) {
	t.Helper()
	lower := strings.ToLower(h.Name)
	refused := []string{"", "authorization", "proxy-authorization", "x-api-key", "host", "content-length", "transfer-encoding", "connection", "te"}
	if slices.Contains(refused, lower) || strings.HasPrefix(lower, "tailscale-") || h.Name != http.CanonicalHeaderKey(h.Name) {
		t.Errorf("rule for %q", h.Name)
	}
	if strings.ContainsAny(h.Name+h.Value, "\r\n\x00") || strings.Contains(h.Value, "sk-ant-") || len(h.When.BearerPrefix) > 20 {
		t.Errorf("accepted: %+v", h)
	}
}
