package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/term"
)

// watchInterval is the pause between two requests to the daemon.
const watchInterval = 2 * time.Second

// watch shows the status again and again until a signal: in place on a terminal, with a mark at
// each line that changed, and one below the other elsewhere. It waits for a daemon that does not
// run, but ends without permission.
func (e env) watch(request func(context.Context) (admin.Status, error)) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	screen := screen{env: e, terminal: term.IsTerminal(e.stdout) && e.getenv("TERM") != "dumb"}
	defer screen.leave()
	resized := make(chan os.Signal, 1)
	if screen.terminal {
		signal.Notify(resized, syscall.SIGWINCH)
		defer signal.Stop(resized)
	}
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for e.stdout.err == nil {
		s, err := request(ctx)
		switch {
		case ctx.Err() != nil:
			return exitOK
		case errors.Is(err, os.ErrPermission):
			screen.leave()
			return e.unavailable(err)
		case err != nil:
			why, hint := whyUnavailable(err)
			screen.take(func(p term.Printer) { report(p, "error", why, hint) })
		default:
			screen.take(func(p term.Printer) { showStatus(p, s, time.Now()) })
		}
		select {
		case <-ticker.C:
		case <-resized:
		case <-ctx.Done():
			return exitOK
		}
	}
	return exitFailure
}

// The control sequences of a screen (ECMA-48; 1049 is xterm's alternate screen).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // and hide the cursor
	leaveScreen = "\x1b[?1049l\x1b[?25h"
	home        = "\x1b[H"
	endOfLine   = "\x1b[K"
	endOfScreen = "\x1b[J"
)

// mark is the margin of a line that changed.
const mark = "* "

// screen shows the successive statuses.
type screen struct {
	env
	terminal bool
	show     func(term.Printer) // prints the latest status
	before   map[string]bool    // its lines, without times
}

// leave restores the terminal, and leaves the latest status on it.
func (s *screen) leave() {
	if s.terminal && s.show != nil {
		fmt.Fprint(s.stdout, leaveScreen)
		s.show(term.NewPrinter(s.stdout))
		s.show = nil
	}
}

// take shows a new status: on a terminal in place, cut to the terminal's size.
func (s *screen) take(show func(term.Printer)) {
	p := term.NewPrinter(s.stdout)
	if !s.terminal {
		show(p)
		fmt.Fprintln(s.stdout)
		return
	}
	if s.show == nil {
		fmt.Fprint(s.stdout, enterScreen)
	}
	text, before := lines(term.Printer{Width: p.Width - len(mark), Color: p.Color}, show), s.before
	s.show, s.before = show, make(map[string]bool)
	for i, line := range text {
		key, margin := withoutTimes(line), strings.Repeat(" ", len(mark))
		s.before[key] = true
		if before != nil && !before[key] {
			margin = p.Paint(term.Yellow, mark)
		}
		text[i] = margin + line + endOfLine
	}
	if hidden := len(text) - p.Height; hidden > 0 {
		text = append(text[:p.Height-1], fmt.Sprintf("  … %d more lines; enlarge the window", hidden+1)+endOfLine)
	}
	fmt.Fprint(s.stdout, home+strings.Join(text, "\n")+endOfScreen)
}

// lines returns what show writes, line by line.
func lines(p term.Printer, show func(term.Printer)) []string {
	var out bytes.Buffer
	p.Out = &out
	show(p)
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// withoutTimes removes from a line the times that change on their own.
func withoutTimes(line string) string {
	return regexp.MustCompile(`\d+(\.\d+)?(ns|µs|ms|s|m\d+s|h\d+m|d\d+h)\b`).ReplaceAllString(line, "")
}
