package main

import (
	"io"
	"os"
)

// textWidth is what text is wrapped to: a terminal of the narrowest common width.
const textWidth = 80

// isTerminal reports whether colours can be shown there and are wanted
// (https://no-color.org).
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
