package inbound_test

import (
	"bytes"
	stdlog "log"
	"log/slog"
	"strings"
	"testing"

	"oauth-proxyd/internal/inbound"
)

// net/http names the clients that it has trouble with.
func TestLibraryLogTellsNoAddresses(t *testing.T) {
	for line, want := range map[string]string{
		"http: panic serving 100.64.0.9:4000: a bug":                              "http: panic serving …: a bug",
		"error from client [fd7a:115c:a1e0::9%eth0]:4000":                         "error from client …",
		"read tcp 192.0.2.8:8080->100.64.0.9:4000: i/o timeout":                   "read tcp …->…: i/o timeout",
		"from [::ffff:100.64.0.9]:4000":                                           "from …",
		"lookup of 100.64.0.9, and of fd7a:115c:a1e0::9.":                         "lookup of …, and of ….",
		"http: Accept error: accept4: too many open files; retrying in 1.5.s 5ms": "http: Accept error: accept4: too many open files; retrying in 1.5.s 5ms",
	} {
		var lines bytes.Buffer
		log := slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
		stdlog.New(inbound.LibraryLog(log), "", 0).Print(line)
		if got := lines.String(); !strings.Contains(got, `"text":"`+strings.ReplaceAll(want, ">", `\u003e`)+`"`) && !strings.Contains(got, `"text":"`+want+`"`) {
			t.Errorf("%q is logged as %s", line, got)
		}
	}
}

// net/http quotes what it read in the lines that it logs on its own.
func TestLibraryLogTellsNoBytes(t *testing.T) {
	var lines bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	std := stdlog.New(inbound.LibraryLog(log), "", 0)
	std.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "HTTP/1.1 \"secret\"\n\\", nil)
	got := lines.String()
	if strings.Contains(got, "secret") || !strings.Contains(got, `"level":"DEBUG"`) ||
		!strings.Contains(got, `"text":"Unsolicited response received on idle HTTP channel starting with \"…\"; err=<nil>"`) {
		t.Error(got)
	}
}
