package main

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/json/jsontext"
	jsonv2 "encoding/json/v2"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf16"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/doctor"
	"oauth-proxyd/internal/term"
)

// output is standard output. It keeps the first error, so that commands need not look at each
// write: main reports it.
type output struct {
	file *os.File
	err  error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	o.err = cmp.Or(o.err, err)
	return n, err
}

// SyscallConn lets package term see whether it is a terminal.
func (o *output) SyscallConn() (syscall.RawConn, error) { return o.file.SyscallConn() }

func (e env) report(severity, text, hint string) {
	report(term.NewPrinter(e.stderr), severity, text, hint)
}

// report prints a message and a hint. The hint is not wrapped, because it may have a command to
// copy.
func report(p term.Printer, severity, text, hint string) {
	style := term.Red
	if severity == "warning" {
		style = term.Yellow
	}
	p.Wrap(p.Paint(style, severity+":")+" ", len(severity)+2, text)
	if hint != "" {
		p.Verbatim(0, "hint: "+strings.ReplaceAll(hint, "\n", "\n  "))
	}
}

func (e env) failed(err error, hint string) { e.report("error", err.Error(), hint) }

// reportAll prints diagnostics without the lines of the file, which another process may have read.
func (e env) reportAll(all []config.Diagnostic) {
	for _, d := range all {
		e.report(d.Severity, strings.TrimPrefix(d.Where()+": "+d.Summary, ": "), d.Detail)
	}
}

func (e env) refused(err error) {
	refused, ok := errors.AsType[*config.Error](err)
	if !ok {
		e.failed(err, "")
		return
	}
	refused.Print(term.NewPrinter(e.stderr))
}

// show prints v as JSON, in which no list is null, or calls text, which prints it for a person.
func (e env) show(asJSON bool, v any, text func()) {
	if !asJSON {
		text()
		return
	}
	b, _ := jsonv2.Marshal(v, json.DefaultOptionsV1(), jsonv2.FormatNilSliceAsNull(false), jsonv2.FormatNilMapAsNull(false),
		jsontext.EscapeForHTML(false), jsontext.WithIndent("  ")) // these types have nothing that JSON lacks
	fmt.Fprintln(e.stdout, escaped(string(b)))
}

// escaped escapes the characters of a JSON text that a terminal obeys or that change the direction
// of writing. Package json leaves them as they are.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// ask sends a request to the running daemon and shows the response: as JSON, or by text. The exit
// code is exitOK if there is a response.
func ask[T any](e env, asJSON bool, request func(context.Context) (T, error), text func(T)) (response T, code int) {
	response, err := request(context.Background())
	if err != nil {
		return response, e.unavailable(err)
	}
	e.show(asJSON, response, func() { text(response) })
	return response, exitOK
}

// list returns a function that shows several things with an empty line between them, or says that
// there are none.
func list[T any](e env, none string, show func(term.Printer, T)) func([]T) {
	return func(all []T) {
		p := term.NewPrinter(e.stdout)
		if len(all) == 0 && none != "" {
			p.Line(none)
		}
		for i, one := range all {
			if i > 0 {
				p.Line("")
			}
			show(p, one)
		}
	}
}

func (e env) unavailable(err error) int {
	why, hint := whyUnavailable(err)
	e.report("error", why, hint)
	if errors.Is(err, os.ErrPermission) {
		return exitNoPerm
	}
	return exitUnavailable
}

// whyUnavailable says why the daemon did not respond, and what to do. systemd may know more than
// the socket.
func whyUnavailable(err error) (why, hint string) {
	down, isDown := errors.AsType[*admin.NotRunningError](err)
	switch {
	case errors.Is(err, os.ErrPermission):
		return err.Error(), "run it as root or as a member of the group oauth-proxyd"
	case isDown && !down.OfSystem:
		return err.Error(), "start a daemon, or name the admin socket of a running one with --socket"
	}
	f := doctor.Unavailable(context.Background(), err)
	switch {
	case f == nil:
		return err.Error(), "sudo oauth-proxyd doctor"
	case isDown:
		f.Seen = "oauth-proxyd is not running: " + f.Seen
	}
	return f.Seen, strings.Join(f.Fix, "\n")
}

// daemonFlag declares the option --socket and returns a client of the daemon that it names. An
// empty --socket is an error: it names no file, and surely not the default.
func daemonFlag(flags *flag.FlagSet) *admin.Client {
	client := admin.NewClient()
	flags.Func("socket", "ask the daemon with the admin socket `FILE`; default: the system's daemon if it runs, otherwise your own", func(file string) error {
		if file == "" {
			return errors.New("it names no file")
		}
		client = admin.At(file)
		return nil
	})
	return &client
}

func exitIf(failed bool, code int) int {
	if failed {
		return code
	}
	return exitOK
}
