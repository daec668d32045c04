package inbound

import (
	"context"
	"io"
	"log/slog"
	"regexp"
	"strings"
)

// LibraryLog returns the output for the standard logger, which net/http uses where it has no other.
// It logs at debug level, because peers cause such lines at will, and leaves out quoted bytes of
// requests and responses and clients' addresses, whatever log.identity allows.
func LibraryLog(log *slog.Logger) io.Writer { return libraryLog{log} }

type libraryLog struct{ log *slog.Logger }

// Write implements io.Writer; the standard logger writes one record at a time.
func (l libraryLog) Write(p []byte) (int, error) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("net/http", "text", withoutAddresses(Unquoted(strings.TrimSpace(string(p)))))
	}
	return len(p), nil
}

// withoutAddresses removes the IP addresses of a text, with their ports.
func withoutAddresses(text string) string {
	const v4, v6 = `\d+(?:\.\d+){3}`, `\[?[\da-f]*:[\da-f]*:[\da-f:]*(?:\.\d+)*(?:%[^\]\s]+)?\]?`
	return regexp.MustCompile(`(?i)(?:`+v4+`|`+v6+`)(?::\d+)?`).ReplaceAllString(text, "…")
}

// Unquoted removes the quoted strings of a text, in which net/http shows bytes of a request or a
// response.
func Unquoted(text string) string {
	return regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"?`).ReplaceAllString(text, `"…"`)
}
