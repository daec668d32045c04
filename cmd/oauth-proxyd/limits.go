package main

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/ratelimit"
	"oauth-proxyd/internal/term"
)

// limits shows the rate limits of the accounts behind the requests.
func limits(e env, flags *flag.FlagSet) runner {
	asJSON, client := flags.Bool("json", false, "print them as JSON"), daemonFlag(flags)
	text := func(all []ratelimit.Account) { showLimits(term.NewPrinter(e.stdout), all, time.Now()) }
	return func(string) int {
		return ask(e, *asJSON, lookTimeout, client().Limits, text, func([]ratelimit.Account) int { return exitOK })
	}
}

// showLimits prints a table that fits into 80 columns.
func showLimits(p term.Printer, all []ratelimit.Account, now time.Time) {
	if len(all) == 0 {
		p.Line("no response in the last 8 hours reported rate limits")
	}
	for i, a := range all {
		if i > 0 {
			p.Line("")
		}
		limitTable{p, now}.show(a)
	}
}

// limitTable is the table of one account.
type limitTable struct {
	term.Printer
	now time.Time
}

// The widths of columns: the name of a window and its bar, or the name of a person instead of both.
const (
	windowWidth  = 14
	barWidth     = 20
	personWidth  = windowWidth + barWidth - 2
	shownPeople  = 8
	shownSession = 8 // characters of a session's ID
)

func (t limitTable) show(a ratelimit.Account) {
	heading := "account " + a.ID
	windows := a.Windows
	if len(windows) > 0 && windows[0].Name == ratelimit.Unified {
		heading += ", " + t.Paint(limitColor(windows[0]), stateText(windows[0]))
		windows = windows[1:]
	}
	seen := "last response " + ago(&a.LastResponse, t.now)
	if a.Claim != "" {
		seen = "decided by " + a.Claim + ", " + seen
	}
	t.Wrap(heading+", ", 4, seen)
	for _, w := range windows {
		if w.Name == ratelimit.Overage && a.OverageDisabled != "" {
			t.Wrap(fmt.Sprintf("  %-*soff: ", windowWidth, w.Name), windowWidth+2, a.OverageDisabled)
			continue
		}
		t.window(w)
		if w.Name == ratelimit.Overage && a.OverageInUse {
			t.Line("    in use: requests are billed beyond the plan")
		}
	}
}

// window prints a line for a window, and one for each person who used it.
func (t limitTable) window(w ratelimit.Window) {
	bar, state := strings.Repeat(" ", barWidth), stateText(w)
	if w.Utilization != nil {
		full := min(int(math.Round(*w.Utilization*barWidth)), barWidth)
		bar = strings.Repeat("#", full) + strings.Repeat(".", barWidth-full)
	}
	if w.Limit > 0 {
		state = fmt.Sprintf("%d left", w.Remaining)
	}
	t.Line(fmt.Sprintf("  %-*s%s %5s  %-9s  %s", windowWidth, term.Cut(w.Name, windowWidth-1),
		t.Paint(limitColor(w), bar), percent(w.Utilization), state, t.resetText(w)))
	if w.Mixed {
		t.Line("    several limits share this account; who used them is not known")
	}
	if len(w.UsedBy) == 0 && w.Shared == 0 {
		return // a single row "not attributed" says nothing
	}
	for _, l := range partsOf(w) {
		t.Line(fmt.Sprintf("    %-*s %5s  %s", personWidth, term.Cut(l.name, personWidth), percent(&l.share), l.detail))
	}
}

func (t limitTable) resetText(w ratelimit.Window) string {
	switch left := w.ResetsAt.Sub(t.now); {
	case w.ResetsAt.IsZero():
		return ""
	case left <= 0:
		return "reset " + ago(&w.ResetsAt, t.now)
	default:
		return "resets in " + spell(left)
	}
}

// part is the share of a window that one person used.
type part struct {
	name   string
	share  float64
	detail string
}

// partsOf returns the shares of the people who used the window, the largest first, then the rest.
func partsOf(w ratelimit.Window) (parts []part) {
	people := make(map[string][]ratelimit.Use)
	for _, u := range w.UsedBy {
		people[u.Person] = append(people[u.Person], u)
	}
	for name, uses := range people {
		p := part{name: cmp.Or(quoted(name), "not named"), detail: sessionsText(uses)}
		for _, u := range uses {
			p.share += u.Utilization
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(a.name, b.name))
	})
	if more := len(parts) - shownPeople; more > 0 {
		rest := part{name: fmt.Sprintf("%d more", more)}
		for _, p := range parts[shownPeople:] {
			rest.share += p.share
		}
		parts = append(parts[:shownPeople], rest)
	}
	return slices.DeleteFunc(append(parts, part{"several people at once", w.Shared, ""}, part{"not attributed", w.Unknown, ""}),
		func(p part) bool { return p.share == 0 })
}

// sessionsText names the sessions of one person in a few words, the most used first.
func sessionsText(uses []ratelimit.Use) string {
	short := func(u ratelimit.Use) string {
		id := []rune(term.Clean(u.Session))
		return cmp.Or(string(id[:min(len(id), shownSession)]), "others")
	}
	if len(uses) == 1 {
		if uses[0].Session == "" {
			return ""
		}
		return "session " + short(uses[0])
	}
	text := fmt.Sprintf("%s %s, %s %s", short(uses[0]), percent(&uses[0].Utilization), short(uses[1]), percent(&uses[1].Utilization))
	if more := len(uses) - 2; more > 0 {
		text += fmt.Sprintf(", %d more", more)
	}
	return text
}

// stateText returns "warning" for "allowed_warning", and any other state as it is.
func stateText(w ratelimit.Window) string { return strings.TrimPrefix(string(w.Status), "allowed_") }

func limitColor(w ratelimit.Window) term.Style {
	const high = 0.9 // as in the alert
	switch {
	case w.Status == ratelimit.Rejected:
		return term.Red
	case w.Status == ratelimit.Warning, w.Utilization != nil && *w.Utilization > high:
		return term.Yellow
	case w.Status == ratelimit.Allowed:
		return term.Green
	default:
		return term.Dim
	}
}

// percent formats a share; it returns "" if the share is unknown.
func percent(utilization *float64) string {
	switch {
	case utilization == nil:
		return ""
	case *utilization > 0 && *utilization < 0.01:
		return "<1%"
	default:
		return fmt.Sprintf("%.0f%%", *utilization*100)
	}
}
