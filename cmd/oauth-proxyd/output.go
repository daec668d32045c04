package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/term"
)

// failed says what went wrong and what to do about it.
func (e env) failed(err error, hint string) {
	fmt.Fprintf(e.stderr, "error: %v\n", err)
	if hint != "" {
		fmt.Fprintf(e.stderr, "hint: %s\n", hint)
	}
}

// unreachable says why the daemon could not be asked.
func (e env) unreachable(err error) int {
	if errors.Is(err, os.ErrPermission) {
		e.failed(err, "run it as root or as a member of the group oauth-proxyd")
		return exitNoPerm
	}
	e.failed(err, "systemctl status oauth-proxyd")
	return exitUnavailable
}

// showRefusal prints everything that is wrong, each with its line of the file.
func (e env) showRefusal(err error) {
	refused, ok := errors.AsType[*config.Error](err)
	if !ok {
		e.failed(err, "")
		return
	}
	p := term.NewPrinter(e.stderr)
	_ = refused.WriteText(e.stderr, p.Width, p.Color) // nowhere left to say so
}

// showDiagnostic is for a file that the running daemon read: its lines are not at hand.
func (e env) showDiagnostic(d config.Diagnostic) {
	fmt.Fprintf(e.stderr, "error: %s: %s\n", d.Where(), d.Summary)
	if d.Detail != "" {
		fmt.Fprintf(e.stderr, "hint: %s\n", d.Detail)
	}
}

// printJSON reports whether it could.
func (e env) printJSON(v any) bool {
	encoder := json.NewEncoder(e.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		e.failed(fmt.Errorf("writing JSON: %w", err), "")
		return false
	}
	return true
}
