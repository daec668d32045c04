package inbound

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"strings"
)

// LibraryLog takes what net/http logs on its own, where nobody can ask it not to: the standard
// logger's output. It goes to log at debug level, as peers cause it at will, without the bytes of a
// request or a response that are quoted there, and without the addresses of clients, whatever
// log.identity allows.
func LibraryLog(log *slog.Logger) io.Writer { return libraryLog{log} }

type libraryLog struct{ log *slog.Logger }

// Write implements io.Writer; the standard logger writes one record at a time.
func (l libraryLog) Write(p []byte) (int, error) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("net/http", "text", withoutAddresses(Unquoted(strings.TrimSpace(string(p)))))
	}
	return len(p), nil
}

// withoutAddresses is a text without the addresses that stand in it as words of their own, as in
// "panic serving 192.0.2.1:4000: …" or "read tcp 192.0.2.1:80->192.0.2.2:4000: …".
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

// Unquoted is a text without the bytes of a request or a response that net/http quotes in its own.
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

// quotedLength is the length of what is left of a quoted string, its end included.
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
