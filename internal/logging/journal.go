package logging

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

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

// write sends each record as a datagram. If that fails, it sends it again on a new socket, because
// journald may have been restarted. If journald does not read, it drops the rest of the batch.
func (j *journal) write(batch [][]byte) (lost int) {
	for i, datagram := range batch {
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

// format makes a datagram of MESSAGE, which repeats the attributes because that is what journalctl
// shows, and of the attributes as fields. No value has a line break, so that each field is
// NAME=value.
func (j *journal) format(e entry) []byte {
	p := append(make([]byte, 0, 2*usualSize), "MESSAGE="...)
	message := len(p)
	p = append(p, e.msg...)
	for _, a := range e.attrs {
		p = append(append(append(p, ' '), a.Key...), '=')
		p = appendQuoted(p, a.Value)
	}
	if len(p)-message > maxValue {
		p = append(p[:message], term.Cut(string(p[message:]), maxValue)...)
	}
	for _, a := range e.attrs {
		p = append(appendFieldName(append(p, '\n'), a.Key), '=')
		p = appendText(p, a.Value)
	}
	p = strconv.AppendInt(append(p, "\nPRIORITY="...), priority(e.level), 10)
	return append(p, "\nSYSLOG_IDENTIFIER="+identifier+"\n"...)
}

// priority is the level of syslog(3).
func priority(level slog.Level) int64 {
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

// appendQuoted appends a value to MESSAGE so that it is unambiguous, as slog's text format does.
func appendQuoted(p []byte, v slog.Value) []byte {
	if v.Kind() == slog.KindString && (v.String() == "" || strings.ContainsAny(v.String(), ` ="\`)) {
		return strconv.AppendQuote(p, v.String())
	}
	return appendText(p, v)
}

// appendFieldName appends the name of the journal field of an attribute: its key in capitals, with
// a prefix where that would say too little in a journal that all services share. Keys are constants
// of letters and underscores that mean nothing else to journald (systemd.journal-fields(7)).
func appendFieldName(p []byte, key string) []byte {
	switch key {
	case "method", "path", "status":
		p = append(p, "HTTP_"...)
	case "user", "tags":
		p = append(p, "TS_"...)
	}
	for _, letter := range []byte(key) {
		p = append(p, byte(unicode.ToUpper(rune(letter))))
	}
	return p
}
