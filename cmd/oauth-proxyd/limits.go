package main

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"strings"
	"time"

	"oauth-proxyd/internal/ratelimit"
	"oauth-proxyd/internal/term"
)

func limits(e env, flags *flag.FlagSet) runner {
	asJSON, client := flags.Bool("json", false, "print JSON"), daemonFlag(flags)
	return func(string) int {
		_, code := ask(e, *asJSON, client.Limits, list(e, "no response in the last 8 hours reported the rate limits of an account", showAccount))
		return code
	}
}

// The widths of columns: the name of a window and its bar, or the name of a person instead of both.
const (
	windowWidth  = 14
	barWidth     = 20
	personWidth  = windowWidth + barWidth - 2
	shownUsers   = 8
	shownSession = 8 // characters of a session's ID
)

func showAccount(p term.Printer, a ratelimit.Account) {
	now := time.Now()
	heading := "account " + a.ID
	windows := a.Windows
	if len(windows) > 0 && windows[0].Name == ratelimit.Unified {
		heading += ", " + p.Paint(limitColor(windows[0]), stateText(windows[0]))
		windows = windows[1:]
	}
	seen := "last response " + ago(a.LastResponse, now)
	if a.Claim != "" {
		seen = "decided by " + a.Claim + ", " + seen
	}
	p.Wrap(heading+", ", 4, seen)
	for _, w := range windows {
		if w.Name == ratelimit.Overage && a.OverageDisabled != "" {
			p.Wrap(fmt.Sprintf("  %-*soff: ", windowWidth, w.Name), windowWidth+2, a.OverageDisabled)
			continue
		}
		showWindow(p, w, now)
		if w.Name == ratelimit.Overage && a.OverageInUse {
			p.Line("    in use: requests are billed beyond the plan")
		}
	}
}

// showWindow prints a line for a window, and one for each user of it.
func showWindow(p term.Printer, w ratelimit.Window, now time.Time) {
	bar, state := strings.Repeat(" ", barWidth), stateText(w)
	if w.Utilization != nil {
		full := min(int(math.Round(*w.Utilization*barWidth)), barWidth)
		bar = strings.Repeat("#", full) + strings.Repeat(".", barWidth-full)
	}
	if w.Remaining != nil {
		state = fmt.Sprintf("%d left", *w.Remaining)
	}
	p.Line(fmt.Sprintf("  %s %s %5s  %-9s  %s", term.Fit(w.Name, windowWidth-1),
		p.Paint(limitColor(w), bar), percent(w.Utilization), state, resetText(w, now)))
	if w.Mixed {
		p.Line("    several limits share this account; who used them is not known")
	}
	if len(w.UsedBy) > 0 { // else a single row "not attributed" says nothing
		showUsers(p, w)
	}
}

// showUsers prints who used a window, the heaviest users first.
func showUsers(p term.Printer, w ratelimit.Window) {
	row := func(name string, share float64, session string) {
		p.Line(fmt.Sprintf("    %s %5s  %s", term.Fit(name, personWidth), percent(&share), session))
	}
	shown, rest := w.UsedBy[:min(len(w.UsedBy), shownUsers)], 0.0
	for _, u := range shown {
		session := []rune(term.Clean(u.Session))
		row(cmp.Or(quoted(u.Person), "not named"), u.Utilization, string(session[:min(len(session), shownSession)]))
	}
	for _, u := range w.UsedBy[len(shown):] {
		rest += u.Utilization
	}
	if more := len(w.UsedBy) - len(shown); more > 0 {
		row(fmt.Sprintf("%d more", more), rest, "")
	}
	if w.Unknown > 0 {
		row("not attributed", w.Unknown, "")
	}
}

func resetText(w ratelimit.Window, now time.Time) string {
	switch left := w.ResetsAt.Sub(now); {
	case w.ResetsAt.IsZero():
		return ""
	case left <= 0:
		return "reset " + ago(w.ResetsAt, now)
	default:
		return "resets in " + shortDuration(left)
	}
}

// stateText returns "warning" for "allowed_warning", and any other state as it is.
func stateText(w ratelimit.Window) string { return strings.TrimPrefix(string(w.Status), "allowed_") }

func limitColor(w ratelimit.Window) term.Style {
	const high = 0.9 // as in the alert
	if w.Status != ratelimit.Rejected && w.Utilization != nil && *w.Utilization > high {
		return term.Yellow
	}
	styles := map[ratelimit.State]term.Style{ratelimit.Rejected: term.Red, ratelimit.Warning: term.Yellow, ratelimit.Allowed: term.Green}
	return cmp.Or(styles[w.Status], term.Dim)
}
