package proxy

import (
	"io"
	"log/slog"
	"strings"
)

// LibraryLog takes what net/http logs by itself, where nobody can ask it not to: the
// standard logger's output. It goes to log at debug level, as peers cause it at will,
// and without the bytes of a request or an answer that are quoted there.
func LibraryLog(log *slog.Logger) io.Writer { return libraryLog{log} }

type libraryLog struct{ log *slog.Logger }

// Write implements io.Writer; the standard logger writes one record at a time.
func (l libraryLog) Write(p []byte) (int, error) {
	l.log.Debug("net/http", "text", loggable(strings.TrimSpace(string(p))))
	return len(p), nil
}
