package main

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/ratelimit"
	"oauth-proxyd/internal/term"
)

// limits shows the rate limits of the accounts behind the requests.
func limits(e env, flags *flag.FlagSet) runner {
	asJSON, client := flags.Bool("json", false, "print JSON"), daemonFlag(flags)
	return func(string) int {
		_, code := ask(e, *asJSON, client.Limits, list(e, "no response in the last 8 hours reported the rate limits of an account", showAccount))
		return code
	}
}

// The widths of columns, 80 in all: the name of a window and its bar, or the name of a person
// instead of both.
const (
	windowWidth  = 14
	barWidth     = 20
	personWidth  = windowWidth + barWidth - 2
	shownPeople  = 8
	shownSession = 8 // characters of a session's ID
	detailWidth  = 36
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

// showWindow prints a line for a window, and one for each person who used it.
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
	if !w.MixedUntil.IsZero() {
		p.Line("    several limits share this account; who used them is not known")
	}
	if len(w.UsedBy) == 0 && w.Shared == 0 {
		return // a single row "not attributed" says nothing
	}
	for _, l := range partsOf(w) {
		p.Line(fmt.Sprintf("    %s %5s  %s", term.Fit(l.name, personWidth), percent(&l.share), l.detail))
	}
}

func resetText(w ratelimit.Window, now time.Time) string {
	switch left := w.ResetsAt.Sub(now); {
	case w.ResetsAt.IsZero():
		return ""
	case left <= 0:
		return "reset " + ago(w.ResetsAt, now)
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
	people := make(map[ratelimit.User][]ratelimit.Use)
	for _, u := range w.UsedBy {
		person := ratelimit.User{Person: u.Person, Kind: u.Kind}
		people[person] = append(people[person], u)
	}
	for person, uses := range people {
		p := part{name: personText(person), detail: sessionsText(uses)}
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
	return slices.DeleteFunc(append(parts, part{"several people", w.Shared, sharersText(w.SharedBy)}, part{"not attributed", w.Unknown, ""}),
		func(p part) bool { return p.share == 0 })
}

// personText names a person, or a sender that is not one.
func personText(u ratelimit.User) string {
	name, kind := cmp.Or(quoted(u.Person), "not named"), ""
	switch u.Kind {
	case "":
	case string(config.Local):
		kind = " (this host)"
	default:
		kind = " (" + u.Kind + ")"
	}
	return strings.TrimRight(term.Fit(name, personWidth-len(kind)), " ") + kind
}

// sessionsText names the sessions of one person, the most used first.
func sessionsText(uses []ratelimit.Use) string {
	var all []string
	for _, u := range uses {
		id := []rune(cmp.Or(term.Clean(u.Session), "others"))
		all = append(all, string(id[:min(len(id), shownSession)])+" "+percent(&u.Utilization))
	}
	return term.Fit(strings.Join(all, ", "), detailWidth)
}

// sharersText names the people of whom some used a share.
func sharersText(people []ratelimit.User) string {
	var all []string
	for _, u := range people {
		all = append(all, personText(u))
	}
	return term.Fit(strings.Join(all, ", "), detailWidth)
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

// percent formats a share; it returns "" if the share is unknown.
func percent(utilization *float64) string {
	switch {
	case utilization == nil:
		return ""
	case *utilization > 0 && *utilization < 0.01:
		return "<1%"
	case *utilization > 0.99 && *utilization < 1:
		return ">99%"
	default:
		return fmt.Sprintf("%.0f%%", *utilization*100)
	}
}
