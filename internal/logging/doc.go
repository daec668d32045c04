// Package logging writes the daemon's log records, made with log/slog, to where the operator reads
// them.
//
//	log, err := logging.New(logging.Config{Level: slog.LevelInfo, Format: logging.FormatAuto})
//	…
//	defer log.Close(ctx)
//	log.Logger().Info("POST /v1/messages 200 9960ms alice@build-1", "request_id", id, "duration", elapsed)
//
// # Formats
//
// [FormatJournal] speaks the journal's native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): each attribute is a field, so that "journalctl
// REQUEST_ID=…" and "journalctl -p warning" find what they should. [FormatText] is tint, in colour
// on a terminal. [FormatJSON] is one object a line. [FormatAuto] takes the journal when standard
// error is the journal, text on a terminal, and JSON otherwise. All have the same attributes:
// groups are joined to one key, and a duration is a number of milliseconds whose key ends in _ms.
//
// # The caller never waits
//
// A record is copied into a bounded queue (handler.go), which one goroutine empties (log.go). When
// the queue is full, the record is dropped and counted, and so is one that could not be written. A
// warning "log records dropped" with their number n precedes the next record that gets through.
//
// # A client cannot forge a record
//
// What a client sent, a path for instance, may stand in a record. Characters that do not print are
// replaced by escapes before a record is queued, so that no value can begin a line or reach a
// terminal as an escape sequence. A value is cut at 16 KiB. Credentials this package cannot
// recognize: nobody may log one.
package logging
