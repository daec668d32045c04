package ratelimit

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	organizationHeader = "Anthropic-Organization-Id"
	// prefix begins all others. What follows is "Unified" and the name of a window of a
	// subscription, or the name of one of an API key; then what is said of it.
	prefix        = "Anthropic-Ratelimit-"
	unifiedPrefix = prefix + "Unified-"

	// maxWindows bounds the windows of an account. A subscription has four, and one more for each
	// model with a limit of its own; an API key has four.
	maxWindows = 12
	// maxUtilization is what an overage may come to; what is above is no utilization.
	maxUtilization = 10
	// maxCount is more than any limit on requests or tokens.
	maxCount = 1e15
	// longestWindow is more than the longest until a reset, which is a month.
	longestWindow = 100 * 24 * time.Hour
	// longestWord is that of the names of windows, claims and reasons.
	longestWord = 40
)

// State is what the upstream says of a window: a word that is not one of its own is "other", none
// is "unknown".
type State string

// The states.
const (
	Allowed  State = "allowed"
	Warning  State = "allowed_warning"
	Rejected State = "rejected"
	Other    State = "other"
	Unknown  State = "unknown"
)

func states() []State { return []State{Allowed, Warning, Rejected, Other, Unknown} }

// The windows that have names of their own here. Unified is the verdict over all windows of a
// subscription, for which the headers have no name.
const (
	Unified = "unified"
	Overage = "overage"
)

// rank orders windows: the usual ones of a subscription, others of it, those of an API key.
func rank(name string) int {
	order := [...]string{Unified, "5h", "7d", Overage, "", "requests", "tokens", "input-tokens", "output-tokens"}
	if i := slices.Index(order[:], name); i >= 0 {
		return i
	}
	return otherRank
}

const otherRank = 4

// isKeyWindow reports whether the window is one of an API key, which refills all the time.
func isKeyWindow(name string) bool { return rank(name) > otherRank }

// sortWindows puts windows into the order in which they are shown.
func sortWindows(windows []Window) {
	slices.SortFunc(windows, func(a, b Window) int {
		return cmp.Or(cmp.Compare(rank(a.Name), rank(b.Name)), cmp.Compare(a.Name, b.Name))
	})
}

// windowsIn are the windows that h mentions, without who used them.
func windowsIn(h http.Header, now time.Time) []Window {
	const usual = 4
	windows := make([]Window, 0, usual)
	for header, values := range h {
		name, ok := strings.CutPrefix(header, prefix)
		if i := strings.LastIndexByte(name, '-'); ok && i > 0 && len(values) > 0 {
			windows = collect(windows, windowName(name[:i]), name[i+1:], values[0], now)
		}
	}
	sortWindows(windows)
	allowed := len(windows) > 0 && windows[0].Name == Unified && windows[0].Status == Allowed
	kept := windows[:0]
	for _, w := range windows {
		if w = w.derived(allowed); w.Status != Unknown || w.Utilization != nil {
			kept = append(kept, w)
		}
	}
	return kept[:min(len(kept), maxWindows)]
}

// windowName is empty for what is none.
func windowName(name string) string {
	if name != "Unified" {
		name = strings.TrimPrefix(name, "Unified-")
	}
	return word(strings.ToLower(name))
}

// collect adds what one header says.
func collect(windows []Window, name, field, value string, now time.Time) []Window {
	if name == "" {
		return windows
	}
	i := slices.IndexFunc(windows, func(w Window) bool { return w.Name == name })
	if i < 0 {
		i = len(windows)
		windows = append(windows, Window{Name: name, Status: Unknown, Remaining: -1})
	}
	w := &windows[i]
	switch field {
	case "Status":
		w.Status = stateOf(value)
	case "Utilization":
		w.Utilization = utilizationOf(value)
	case "Reset":
		w.ResetsAt = resetOf(value, now)
	case "Limit":
		w.Limit = max(countOf(value), 0)
	case "Remaining":
		w.Remaining = countOf(value)
	}
	return windows
}

// derived has what follows from what was said: a window of a subscription without a status of its
// own allows what all of them together do.
func (w Window) derived(allowed bool) Window {
	switch {
	case w.Remaining >= 0 && w.Remaining <= w.Limit && w.Limit > 0:
		w.Utilization = new(1 - float64(w.Remaining)/float64(w.Limit))
		return w
	case allowed && w.Status == Unknown && w.Utilization != nil:
		w.Status = Allowed
	}
	w.Limit, w.Remaining = 0, 0
	return w
}

func stateOf(status string) State {
	switch s := State(status); s {
	case "":
		return Unknown
	case Allowed, Warning, Rejected:
		return s
	default:
		return Other
	}
}

// utilizationOf returns nil for what is none.
func utilizationOf(text string) *float64 {
	u, err := strconv.ParseFloat(text, 64)
	if err != nil || !(u >= 0 && u <= maxUtilization) { // NaN is not
		return nil
	}
	return &u
}

// countOf returns -1 for what is none.
func countOf(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxCount {
		return -1
	}
	return n
}

// resetOf is when a window begins again, which headers say in Unix seconds, or in RFC 3339 for an
// API key. It is zero for the reset of no window.
func resetOf(text string, now time.Time) time.Time {
	var at time.Time
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err == nil {
		at = time.Unix(seconds, 0)
	} else {
		at, err = time.Parse(time.RFC3339, text)
	}
	if err != nil || at.Sub(now).Abs() > longestWindow {
		return time.Time{}
	}
	return at.UTC()
}

// word is text if it is a short word, such as a window or a reason has; else empty.
func word(text string) string {
	bad := func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}
	if len(text) > longestWord || strings.ContainsFunc(text, bad) {
		return ""
	}
	return text
}
