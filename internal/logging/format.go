package logging

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/mattn/go-isatty"
)

// Format names a form of the log; see the package's documentation.
type Format string

// The forms of the log.
const (
	FormatAuto    Format = "auto"
	FormatJournal Format = "journal"
	FormatText    Format = "text"
	FormatJSON    Format = "json"
)

// outputs is where a log can go.
type outputs struct {
	stderr *os.File
	socket string
}

// open makes the sink of a format. It is cheap, and a sink that is never used need not be closed.
func (o outputs) open(format Format) (sink, error) {
	switch format {
	case FormatAuto, "":
		return o.openAuto(), nil
	case FormatJournal:
		if err := reachable(o.socket); err != nil {
			return nil, fmt.Errorf("the journal cannot be reached, use the format auto, text or json: %w", err)
		}
		return &journal{socket: o.socket}, nil
	case FormatText:
		return o.openText(), nil
	case FormatJSON:
		return newJSON(o.stderr), nil
	}
	return nil, fmt.Errorf("unknown format %q, use auto, journal, text or json", format)
}

// openAuto upgrades standard error to the native protocol, as systemd.exec(5) describes at $JOURNAL_STREAM.
func (o outputs) openAuto() sink {
	switch {
	case isJournal(o.stderr, os.Getenv("JOURNAL_STREAM")) && reachable(o.socket) == nil:
		return &journal{socket: o.socket}
	case isTerminal(o.stderr):
		return o.openText()
	}
	return newJSON(o.stderr)
}

func (o outputs) openText() sink {
	if isTerminal(o.stderr) {
		colour := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" // https://no-color.org/
		return newText(o.stderr, "15:04:05.000", colour)
	}
	return newText(o.stderr, "2006-01-02T15:04:05.000Z07:00", false)
}

func isTerminal(f *os.File) bool {
	terminal := false
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) { terminal = isatty.IsTerminal(fd) })
	return err == nil && terminal
}

// isJournal compares f with the device and inode numbers of stream: the variable is inherited by processes whose
// standard error was redirected since.
func isJournal(f *os.File, stream string) bool {
	device, inode, ok := strings.Cut(stream, ":")
	info, err := f.Stat()
	if !ok || err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && device == strconv.FormatUint(stat.Dev, 10) && inode == strconv.FormatUint(stat.Ino, 10)
}
