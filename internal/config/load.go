package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
	"unicode/utf8"
)

// Override is a value from the command line or the environment, which outranks the file's. It is
// validated like a value of the file. Only variables and options that are set make an Override, so
// an empty Value is an empty string.
type Override struct {
	Attribute string // "proxy.listen_addr", "proxy.upstream_url", "tailscale.socket", "log.level", "log.format"
	Value     string
	Origin    string // what errors name in place of a position: "--upstream", "TAILSCALE_SOCKET"
}

// maxFileSize is how large a configuration may be, in bytes: some 1,000 header rules.
const maxFileSize = 128 << 10

// Load reads the file at path, and validates all of it and the overrides. The last override for an
// attribute wins. The error is an [*Error] in every case. One from reading the file satisfies
// [errors.Is] for its cause, such as [fs.ErrNotExist].
func Load(path string, overrides ...Override) (*Config, error) {
	src, err := readFile(path, maxFileSize)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return Parse(path, src, overrides...)
}

// Parse is Load for a file that has been read; filename is for messages. An empty src is valid, and
// means the defaults. Besides src, Parse reads the file that upstream_ca_file names.
func Parse(filename string, src []byte, overrides ...Override) (*Config, error) {
	if len(src) > maxFileSize {
		return nil, wholeFile(filename, "the file is larger than "+spellSize(maxFileSize), "is it the right file?", nil)
	}
	if !utf8.Valid(src) {
		return nil, wholeFile(filename, "the file is not text in UTF-8", "is it the right file? If it is, convert it with iconv(1)", nil)
	}
	if bytes.ContainsRune(src, '\r') && !bytes.ContainsRune(src, '\n') { // behind a comment, all of it would be one
		return nil, wholeFile(filename, "the lines end with carriage returns only", `convert them to line feeds: tr '\r' '\n' <FILE`, nil)
	}
	d := newDecoder(filename, src)
	if body, ok := d.parse(); ok { // of a broken file, what was parsed, to show its other errors
		d.body(block{schema: d.schema}, body)
	}
	d.overrides(overrides)
	d.crossCheck()
	if len(d.errors) > 0 {
		return nil, d.failure()
	}
	return d.config, nil
}

// errNoWriter tells a pipe without a writer from an empty file, which means the defaults.
var errNoWriter = errors.New("it is a pipe without a writer")

// readFile reads at most limit+1 bytes. It never blocks: a pipe, such as <(…) of a shell, must be
// written within 900 ms, so that a reload ends within a second.
func readFile(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // otherwise, opening a pipe waits for a writer
	if err != nil {
		return nil, err
	}
	defer file.Close()
	_ = file.SetReadDeadline(time.Now().Add(900 * time.Millisecond)) // regular files have none, and never wait
	src, err := io.ReadAll(io.LimitReader(file, limit+1))
	if info, statErr := file.Stat(); err == nil && statErr == nil && len(src) == 0 && info.Mode()&fs.ModeNamedPipe != 0 {
		return nil, errNoWriter
	}
	return src, err
}

func unreadable(path string, err error) *Error {
	hint := "name a regular file, or a pipe that is written at once"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = "name another file with --config, or copy the one of the package, which has the rule for anthropic-beta"
	case errors.Is(err, fs.ErrPermission):
		hint = "let the user that the program runs as read the file and enter its directories"
	}
	return wholeFile(path, "cannot read the configuration: "+reason(err).Error(), hint, err)
}

func wholeFile(path, summary, hint string, cause error) *Error {
	d := Diagnostic{Severity: "error", Summary: summary, Detail: hint, File: path}
	return &Error{diagnostics: []Diagnostic{d}, cause: cause}
}

// reason returns the error without the path, which the message has already.
func reason(err error) error {
	if wrapped, ok := errors.AsType[*fs.PathError](err); ok {
		return wrapped.Err
	}
	return err
}
