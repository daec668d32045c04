package inbound

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
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

// withoutAddresses removes the addresses that are words of a text, as in "panic serving
// 192.0.2.1:4000: …" or "read tcp 192.0.2.1:80->192.0.2.2:4000: …".
func withoutAddresses(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		for end := range strings.SplitSeq(strings.TrimRight(word, ":,;."), "->") {
			if isAddress(end) {
				words[i] = strings.Replace(words[i], end, "…", 1)
			}
		}
	}
	return strings.Join(words, " ")
}

func isAddress(word string) bool {
	if _, err := netip.ParseAddrPort(word); err == nil {
		return true
	}
	_, err := netip.ParseAddr(word)
	return err == nil
}

// Unquoted removes the quoted strings of a text, in which net/http shows bytes of a request or a
// response.
func Unquoted(text string) string {
	var b strings.Builder
	for {
		before, rest, quoted := strings.Cut(text, `"`)
		b.WriteString(before)
		if !quoted {
			return b.String()
		}
		b.WriteString(`"…"`)
		text = rest[quotedLength(rest):]
	}
}

// quotedLength returns the length of the rest of a quoted string, including its closing quote.
func quotedLength(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}
