package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"unicode/utf8"
)

// Override is a value that outranks the file's: one from the command line or
// from the environment. Only what is set is passed: a Value is validated as
// if the file held it, also an empty one.
type Override struct {
	Attribute string // "proxy.listen_addr", "proxy.upstream_url", "tailscale.socket", "log.level", "log.format"
	Value     string
	Origin    string // what errors name in place of a position: "--upstream", "TAILSCALE_SOCKET"
}

// MaxFileSize is how large a configuration may be, in bytes.
const MaxFileSize = 256 << 10

// Load reads the file at path, lets the overrides replace what it says, in
// the order given, the last one winning, and validates everything, replaced
// values included. The error is an [*Error] in every case; one that comes of
// reading the file satisfies [errors.Is] for its cause, such as
// [fs.ErrNotExist].
func Load(path string, overrides ...Override) (*Config, error) {
	src, err := read(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return Parse(path, src, overrides...)
}

// Parse is Load for a file that has been read; filename is for messages. An
// empty src is a valid configuration, the default one. Besides src, it reads
// the file that upstream_ca_file names.
func Parse(filename string, src []byte, overrides ...Override) (*Config, error) {
	if err := checkContent(filename, src); err != nil {
		return nil, err
	}
	d := newDecoder(filename, src)
	d.file()
	d.overrides(overrides)
	d.crossCheck()
	if len(d.findings) > 0 {
		return nil, d.failure()
	}
	return d.config, nil
}

// Default is the configuration of an empty file. It has no header rules.
func Default() *Config { return defaults() }

func unreadable(path string, err error) *Error {
	d := Diagnostic{
		Severity: "error",
		Summary:  fmt.Sprintf("cannot read the configuration: %s", reason(err)),
		File:     path,
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.Detail = "name another file with --config, or make an empty one there: it means the defaults"
	case errors.Is(err, fs.ErrPermission):
		d.Detail = "the user that the program runs as must be able to read the file and to enter its directories"
	case errors.Is(err, syscall.EISDIR):
		d.Detail = "name the file in the directory"
	case errors.Is(err, errNoWriter), errors.Is(err, os.ErrDeadlineExceeded):
		d.Detail = fmt.Sprintf("a pipe must give the whole file within %v", readTimeout)
	}
	return &Error{file: path, diagnostics: []Diagnostic{d}, cause: err}
}

// reason is the error without the path, which the message has already.
func reason(err error) error {
	if wrapped, ok := errors.AsType[*fs.PathError](err); ok {
		return wrapped.Err
	}
	return err
}

// checkContent refuses what is not worth parsing.
func checkContent(filename string, src []byte) error {
	d := Diagnostic{Severity: "error", File: filename}
	switch {
	case len(src) > MaxFileSize:
		d.Summary = "the file is larger than " + spellSize(MaxFileSize)
		d.Detail = "is it the right file?"
	case !utf8.Valid(src):
		d.Summary = "the file is not text in UTF-8"
		d.Detail = "is it the right file? If it is, convert it with iconv(1)"
	default:
		return nil
	}
	return &Error{file: filename, diagnostics: []Diagnostic{d}}
}
