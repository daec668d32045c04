package logging

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	journalSocket  = "/run/systemd/journal/socket"
	identifier     = "oauth-proxyd"
	journalTimeout = time.Second
	shortValue     = 512 // bytes of a value in a record that was too large for a datagram
)

// journal is the sink that speaks the native protocol. A connected socket is kept, as it alone lets a writer wait for
// room with a deadline; journald's socket is held by systemd and outlives a restart of journald.
type journal struct {
	socket string
	conn   *net.UnixConn
}

// reachable tells whether somebody holds the socket.
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

func (j *journal) write(e entry) error {
	err := j.send(encode(e, maxValue))
	if tooLarge(err) {
		err = j.send(encode(e, shortValue))
	}
	return err
}

// flush has nothing to do: a record is a datagram.
func (j *journal) flush() error { return nil }

// send tries once more when a socket from before is dead. After a deadline it does not: others wait as well.
func (j *journal) send(datagram []byte) error {
	kept := j.conn != nil
	err := j.try(datagram)
	if err == nil || !kept || tooLarge(err) || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return j.try(datagram)
}

func (j *journal) try(datagram []byte) error {
	if j.conn == nil {
		conn, err := dial(j.socket)
		if err != nil {
			return err
		}
		j.conn = conn
	}
	err := j.conn.SetWriteDeadline(time.Now().Add(journalTimeout))
	if err == nil {
		_, err = j.conn.Write(datagram)
	}
	if err != nil {
		j.close()
	}
	return err
}

func (j *journal) close() {
	if j.conn != nil {
		_ = j.conn.Close() // a datagram socket has nothing left to say
		j.conn = nil
	}
}

func tooLarge(err error) bool {
	return errors.Is(err, syscall.EMSGSIZE) || errors.Is(err, syscall.ENOBUFS)
}

// encode makes a datagram: MESSAGE, which has the attributes in it as well, because that is what journalctl shows; then
// the attributes as fields, see systemd.journal-fields(7).
func encode(e entry, limit int) []byte {
	fields := appendFields(nil, nil, e.attrs)
	message := []byte(escape(e.msg))
	for _, f := range fields {
		message = fmt.Appendf(message, " %s=%s", quote(f.key), quote(f.text))
	}
	out := appendField(nil, "MESSAGE", cut(string(message), limit))
	out = appendField(out, "PRIORITY", strconv.Itoa(priority(e.level)))
	out = appendField(out, "SYSLOG_IDENTIFIER", identifier)
	for _, f := range fields {
		for _, v := range f.values {
			out = appendField(out, f.name, cut(v, limit))
		}
	}
	return out
}

// appendField writes KEY=value, or, as a value with a line break would end there, its length before it.
func appendField(out []byte, name, value string) []byte {
	if !strings.Contains(value, "\n") {
		return fmt.Appendf(out, "%s=%s\n", name, value)
	}
	out = append(out, name...)
	out = append(out, '\n')
	out = binary.LittleEndian.AppendUint64(out, uint64(len(value)))
	out = append(out, value...)
	return append(out, '\n')
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

// field is an attribute for the journal.
type field struct {
	name   string
	values []string // a list is several fields of one name: each is found by itself
	key    string   // in MESSAGE
	text   string   // in MESSAGE
}

func appendFields(fields []field, groups []string, attrs []slog.Attr) []field {
	for _, a := range attrs {
		path := append(slices.Clip(groups), a.Key)
		if a.Value.Kind() == slog.KindGroup {
			fields = appendFields(fields, path, a.Value.Group())
			continue
		}
		f := field{name: fieldName(path), key: strings.Join(path, "."), text: text(a.Value)}
		switch v := a.Value.Any().(type) {
		case time.Duration:
			f.name = suffixed(f.name, "_MS")
			f.values = []string{strconv.FormatFloat(milliseconds(v), 'f', -1, 64)}
		case []string:
			f.values = v
		default:
			f.values = []string{f.text}
		}
		fields = append(fields, f)
	}
	return fields
}
