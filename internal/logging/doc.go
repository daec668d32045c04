// Package logging writes log records, made with log/slog, in the format of the configuration.
//
//	log, err := logging.New(logging.Config{Level: slog.LevelInfo, Format: "auto"})
//	…
//	defer log.Close(ctx)
//	log.Logger().Info("POST /v1/messages 200 9960ms alice@build-1", "duration", elapsed)
//
// log.go has the queue and the goroutine that writes, handler.go what happens to a record before,
// format.go and journal.go the formats.
//
// # Formats
//
// The format journal speaks the journal's native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/). Each attribute is a field, so that "journalctl
// REQUEST_ID=…" finds a request. The format text is tint, in colour on a terminal. json is one
// object per line. auto uses the journal if standard error is the journal, text on a terminal, and
// json otherwise. All formats have the same attributes. A duration is a number of milliseconds with
// a key that ends in _ms, a list of strings is joined with commas, and there are no groups. Keys
// are constants of small letters and underscores.
//
// # A caller never waits
//
// A record is formatted and put into a bounded queue, which one goroutine empties in batches. It is
// dropped and counted if the queue is full or the write fails. The next batch begins with the
// warning "log records dropped" and their number n.
//
// # A client cannot forge a record
//
// A record may contain what a client sent, for instance a path. Characters that do not print are
// escaped before a record is queued, so that no value can begin a line or reach a terminal as an
// escape sequence. A value is cut at 16 KiB. This package cannot recognize credentials: callers
// must not log them.
package logging
