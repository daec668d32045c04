package logging_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"

	"oauth-proxyd/internal/logging"
)

func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	fmt.Println(logIntoNothing())
}

// start returns a log that the end of the test closes.
func start(t testing.TB, cfg logging.Config) *logging.Log {
	t.Helper()
	l, err := logging.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(t, l) })
	return l
}

func finish(t testing.TB, l *logging.Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
}

// capture returns what a log writes to a file while use runs.
func capture(t testing.TB, format string, use func(*logging.Log)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := start(t, logging.Config{Format: format, Stderr: f})
	use(l)
	finish(t, l)
	out, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// emit logs a record of a fixed time.
func emit(t testing.TB, l *logging.Log, msg string, attrs ...slog.Attr) {
	t.Helper()
	r := slog.NewRecord(time.Date(2026, 3, 4, 5, 6, 7, 891_000_000, time.UTC), slog.LevelInfo, msg, 0)
	r.AddAttrs(attrs...)
	if err := l.Logger().Handler().Handle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// terminal opens a pseudo terminal. What is written to tty is read from the other end.
func terminal(t testing.TB) (tty *os.File, other *bufio.Reader) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	var unlock, number int32
	ioctl(t, master, syscall.TIOCSPTLCK, &unlock)
	ioctl(t, master, syscall.TIOCGPTN, &number)
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return tty, bufio.NewReader(master)
}

func ioctl(t testing.TB, f *os.File, request uintptr, arg *int32) {
	t.Helper()
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(arg)))
	if errno != 0 {
		t.Fatal(errno)
	}
}

// journald is the other end of the journal's socket.
type journald struct {
	conn *net.UnixConn
	path string
}

func startJournald(t testing.TB) *journald {
	t.Helper()
	j := &journald{path: filepath.Join(t.TempDir(), "socket")}
	j.listen(t)
	t.Cleanup(func() { _ = j.conn.Close() })
	return j
}

func (j *journald) listen(t testing.TB) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: j.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	j.conn = conn
}

// stop closes the socket and removes its file.
func (j *journald) stop(t testing.TB) {
	t.Helper()
	if err := errors.Join(j.conn.Close(), os.Remove(j.path)); err != nil {
		t.Fatal(err)
	}
}

// config returns the configuration of a log to this journal.
func (j *journald) config() logging.Config {
	return logging.Config{Format: "journal", JournalSocket: j.path}
}

// receive returns the next record: the values of each field.
func (j *journald) receive(t testing.TB) map[string][]string {
	t.Helper()
	if err := j.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	n, err := j.conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := decode(buf[:n])
	if err != nil {
		t.Fatalf("%v in %q", err, buf[:n])
	}
	return fields
}

// decode reads a record of the native protocol as journald does.
func decode(b []byte) (map[string][]string, error) {
	fields := map[string][]string{}
	for len(b) > 0 {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			return nil, fmt.Errorf("a line that does not end")
		}
		name, value, plain := strings.Cut(string(line), "=")
		if !plain {
			if len(rest) < 8 {
				return nil, fmt.Errorf("a length that is cut")
			}
			size := binary.LittleEndian.Uint64(rest)
			if rest = rest[8:]; uint64(len(rest)) <= size || rest[size] != '\n' {
				return nil, fmt.Errorf("a length of %d that is wrong", size)
			}
			value, rest = string(rest[:size]), rest[size+1:]
		}
		fields[name] = append(fields[name], value)
		b = rest
	}
	return fields, nil
}
