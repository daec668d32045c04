// Package logging carries the daemon's log records, made with log/slog, to where the operator reads them.
//
// # Forms
//
// [FormatJournal] speaks the journal's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), so that
// "journalctl REQUEST_ID=…" and "journalctl -p warning" find what they should. [FormatText] is for people: tint, with
// colour on a terminal unless NO_COLOR is set. [FormatJSON] is one object a line, durations in milliseconds under a key
// that ends in _ms. [FormatAuto] takes the journal when standard error is the journal, text on a terminal, else JSON.
//
// # Never in the way
//
// A logger never makes its caller wait. A record is resolved, copied and put into a bounded queue; one goroutine, owned
// by the [Log], writes. When the queue is full the record is dropped and counted, and so is one that could not be
// written. The next record that gets through is preceded by a warning "log records dropped" with their number n.
// [Log.Close] writes what is still queued.
//
// # Never forged
//
// What a client sent, a path for instance, may stand in a record. No form lets it begin a line of its own or reach a
// terminal as an escape sequence: characters that do not print are written as escapes. A value is cut at 16 KiB. What a
// credential is, this package cannot know: nobody may log one.
//
// # The journal's socket
//
// The client of the journal is our own, not go-systemd's: that one knows one fixed path, which no test can replace, keeps
// its socket in a package variable, and waits without limit for a journal that does not read. As long values are cut,
// a record fits into a datagram, and the protocol's other way, a file passed along, is not needed.
package logging
