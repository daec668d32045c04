package proxy_test

import (
	stdlog "log"
	"log/slog"
	"strings"
	"testing"

	"oauth-proxyd/internal/proxy"
)

// net/http quotes what it read in the lines that it logs by itself.
func TestLibraryLogTellsNoBytes(t *testing.T) {
	var lines logLines
	log := slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	std := stdlog.New(proxy.LibraryLog(log), "", 0)
	std.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "HTTP/1.1 \"secret\"\n\\", nil)
	got := lines.String()
	if strings.Contains(got, "secret") || !strings.Contains(got, `"level":"DEBUG"`) ||
		!strings.Contains(got, `"text":"Unsolicited response received on idle HTTP channel starting with \"…\"; err=<nil>"`) {
		t.Error(got)
	}
}
