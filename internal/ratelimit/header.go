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
	// prefix is the start of all other header names. Then follow "Unified" and the name of a
	// subscription's window, or the name of an API key's window, and last the field.
	prefix        = "Anthropic-Ratelimit-"
	unifiedPrefix = prefix + "Unified-"

	// maxWindows bounds the windows of an account. A subscription has four, and one more for each
	// model with a limit of its own; an API key has four.
	maxWindows = 12
	// maxUtilization is the highest utilization that is believed, of an overage.
	maxUtilization = 10
	// maxCount is more than any limit on requests or tokens.
	maxCount = 1e15
	// longestWindow is more than the longest time until a reset, which is a month.
	longestWindow = 100 * 24 * time.Hour
	// longestWord is the length of the longest name of a window, claim or reason.
	longestWord = 40
)

// State is the status of a window, as the upstream reports it: "other" for an unknown word,
// "unknown" if there is none.
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

// Names of windows. Unified is the verdict over all windows of a subscription, for which the
// headers have no name.
const (
	Unified = "unified"
	Overage = "overage"
)

// rank orders windows: a subscription's usual ones, its others, an API key's.
func rank(name string) int {
	order := [...]string{Unified, "5h", "7d", Overage, "", "requests", "tokens", "input-tokens", "output-tokens"}
	if i := slices.Index(order[:], name); i >= 0 {
		return i
	}
	return otherRank
}

const otherRank = 4

func byRank(a, b Window) int {
	return cmp.Or(cmp.Compare(rank(a.Name), rank(b.Name)), cmp.Compare(a.Name, b.Name))
}

// isKeyWindow reports whether the window is an API key's, which refills all the time.
func isKeyWindow(name string) bool { return rank(name) > otherRank }

// windowsIn returns the windows in h, without users, by rank.
func windowsIn(h http.Header, now time.Time) (windows []Window) {
	for header, values := range h {
		name, ok := strings.CutPrefix(header, prefix)
		if i := strings.LastIndexByte(name, '-'); ok && i > 0 && len(values) > 0 {
			windows = collect(windows, windowName(name[:i]), name[i+1:], values[0], now)
		}
	}
	for i := range windows {
		windows[i].derive()
	}
	slices.SortFunc(windows, byRank) // if there are too many, those that matter stay
	return slices.DeleteFunc(windows, func(w Window) bool { return w.Status == Unknown && w.Utilization == nil })
}

// windowName returns the name of a window in lower case, or "" if it is invalid.
func windowName(name string) string {
	if name != "Unified" {
		name = strings.TrimPrefix(name, "Unified-")
	}
	return word(strings.ToLower(name))
}

// collect adds the value of one header to its window.
func collect(windows []Window, name, field, value string, now time.Time) []Window {
	if name == "" {
		return windows
	}
	i := slices.IndexFunc(windows, func(w Window) bool { return w.Name == name })
	if i < 0 {
		i = len(windows)
		windows = append(windows, Window{Name: name, Status: Unknown})
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
		w.Limit = countOf(value)
	case "Remaining":
		w.Remaining = countOf(value)
	}
	return windows
}

// derive fills in the utilization of an API key's window, which follows from its other values.
func (w *Window) derive() {
	if w.Remaining == nil || w.Limit == nil || *w.Remaining > *w.Limit || *w.Limit == 0 {
		w.Limit, w.Remaining = nil, nil
		return
	}
	w.Utilization = new(1 - float64(*w.Remaining)/float64(*w.Limit))
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

// utilizationOf returns nil for an invalid value.
func utilizationOf(text string) *float64 {
	u, err := strconv.ParseFloat(text, 64)
	if err != nil || !(0 <= u && u <= maxUtilization) { // NaN is neither
		return nil
	}
	return &u
}

// countOf returns nil for an invalid value.
func countOf(text string) *int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxCount {
		return nil
	}
	return &n
}

// resetOf returns when a window resets: in Unix seconds, or in RFC 3339 for an API key. It returns
// the zero time for an invalid value.
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

// word returns text if it is a short word in lower case, such as the name of a window or a reason,
// and "" otherwise, or if it may be a token of Anthropic.
func word(text string) string {
	bad := func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}
	if len(text) > longestWord || strings.Contains(text, "sk-ant-") || strings.ContainsFunc(text, bad) {
		return ""
	}
	return text
}
