package logging

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"oauth-proxyd/internal/term"
)

const (
	journalSocket  = "/run/systemd/journal/socket"
	identifier     = "oauth-proxyd"
	journalTimeout = time.Second
)

// journal is the sink that speaks the native protocol. It does not use go-systemd's package
// journal, which waits without limit for a journald that does not read. The socket is connected,
// because only then a writer can wait for room with a deadline.
type journal struct {
	socket string
	conn   *net.UnixConn
}

// reachable returns an error if nothing listens on the socket.
func reachable(socket string) error {
	conn, err := dial(socket)
	if err != nil {
		return err
	}
	return conn.Close()
}

func dial(socket string) (*net.UnixConn, error) {
	return net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
}

// write sends each entry as a datagram. If that fails, it sends it again on a new socket, because
// journald may have been restarted. If journald does not read, it drops the rest of the batch.
func (j *journal) write(batch []entry) (lost int) {
	for i, e := range batch {
		datagram := encode(e)
		err := j.send(datagram)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			err = j.send(datagram)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return lost + len(batch) - i
		}
		if err != nil {
			lost++
		}
	}
	return lost
}

// send closes the socket if it fails.
func (j *journal) send(datagram []byte) error {
	if j.conn == nil {
		conn, err := dial(j.socket)
		if err != nil {
			return err
		}
		j.conn = conn
	}
	_ = j.conn.SetWriteDeadline(time.Now().Add(journalTimeout)) // if it fails, so does the write
	_, err := j.conn.Write(datagram)
	if err != nil {
		j.close()
	}
	return err
}

func (j *journal) close() {
	if j.conn != nil {
		_ = j.conn.Close() // every datagram was sent, or its error counted
		j.conn = nil
	}
}

// encode makes a datagram of the attributes as fields, and of MESSAGE, which repeats them, because
// that is what journalctl shows. No value has a line break, so that each field is NAME=value.
func encode(e entry) []byte {
	message, fields := make([]byte, 0, 1<<10), make([]byte, 0, 2<<10) // enough for most records
	field := func(name, value string) {
		fields = append(fields, name...)
		fields = append(fields, '=')
		fields = append(fields, value...)
		fields = append(fields, '\n')
	}
	message = append(message, e.msg...)
	for _, a := range e.attrs {
		value := text(a.Value)
		message = append(message, ' ')
		message = append(message, a.Key...)
		message = append(message, '=')
		message = append(message, quote(value)...)
		field(fieldName(a.Key), value)
	}
	field("MESSAGE", term.Cut(string(message), maxValue))
	field("PRIORITY", strconv.Itoa(priority(e.level)))
	field("SYSLOG_IDENTIFIER", identifier)
	return fields
}

// priority is the level of syslog(3).
func priority(level slog.Level) int {
	switch {
	case level < slog.LevelInfo:
		return 7
	case level < slog.LevelWarn:
		return 6
	case level < slog.LevelError:
		return 4
	}
	return 3
}

// quote makes s unambiguous as a value in MESSAGE, as slog's text format does.
func quote(s string) string {
	if s == "" || strings.ContainsAny(s, ` ="\`) {
		return strconv.Quote(s)
	}
	return s
}

// fieldName returns the name of the journal field of an attribute: its key in capitals, with a
// prefix where that would say too little in a journal that all services share. Keys are constants
// of letters and underscores that mean nothing else to journald (systemd.journal-fields(7)).
func fieldName(key string) string {
	name := strings.ToUpper(key)
	switch key {
	case "method", "path", "status":
		return "HTTP_" + name
	case "user", "tags":
		return "TS_" + name
	}
	return name
}
