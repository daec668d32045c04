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
func LibraryLog(log *slog.Logger) io.Writer {
	const v4, v6 = `\d+(?:\.\d+){3}`, `\[?[\da-f]*:[\da-f]*:[\da-f:]*(?:\.\d+)*(?:%[^\]\s]+)?\]?`
	return libraryLog{log, regexp.MustCompile(`(?i)(?:` + v4 + `|` + v6 + `)(?::\d+)?`)}
}

type libraryLog struct {
	log       *slog.Logger
	addresses *regexp.Regexp // IP addresses, with their ports
}

// Write implements io.Writer; the standard logger writes one record at a time.
func (l libraryLog) Write(p []byte) (int, error) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		text := Unquoted(strings.TrimSpace(string(p)))
		l.log.Debug("net/http", "text", l.addresses.ReplaceAllString(text, "…"))
	}
	return len(p), nil
}

// Unquoted removes the quoted strings of a text, in which net/http shows bytes of a request or a
// response.
func Unquoted(text string) string {
	var b strings.Builder
	for {
		before, quoted, found := strings.Cut(text, `"`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString(`"…"`)
		text = afterQuote(quoted)
	}
}

// afterQuote returns what follows a quoted string whose first quote is cut off. Backslashes escape
// quotes in it.
func afterQuote(text string) string {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return text[i+1:]
		}
	}
	return ""
}
