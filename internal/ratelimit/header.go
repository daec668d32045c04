package ratelimit

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	organizationHeader = "Anthropic-Organization-Id"
	prefix             = "Anthropic-Ratelimit-"
	unifiedPrefix      = prefix + "Unified-" // then the name of a window of a subscription
	statusSuffix       = "Status"
	utilizationSuffix  = "Utilization"
	resetSuffix        = "Reset"

	// maxWindows bounds the windows of an account. Two are usual, with one more for each model that
	// has its own, and four of an API key.
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

// keyWindows are those of an API key.
func keyWindows() []string { return []string{"requests", "tokens", "input-tokens", "output-tokens"} }

// isKeyWindow reports whether the window refills all the time.
func isKeyWindow(name string) bool { return slices.Contains(keyWindows(), name) }

// windowsIn are the windows that h mentions, without who used them. A window without a status of
// its own allows what all of them together do.
func windowsIn(h http.Header, now time.Time) []Window {
	windows := make([]Window, 0, maxWindows)
	for _, name := range windowNames(h) {
		w := Window{Name: name, Status: stateOf(h.Get(windowPrefix(name) + statusSuffix))}
		w.Utilization = utilizationOf(h.Get(windowPrefix(name) + utilizationSuffix))
		if w.Status == Unknown && w.Utilization == nil {
			continue
		}
		if w.Status == Unknown && len(windows) > 0 && windows[0].Name == Unified && windows[0].Status == Allowed {
			w.Status = Allowed
		}
		w.ResetsAt = resetOf(h.Get(windowPrefix(name)+resetSuffix), now)
		windows = append(windows, w)
	}
	for _, name := range keyWindows() {
		if w, ok := keyWindow(h, name, now); ok {
			windows = append(windows, w)
		}
	}
	return windows
}

// windowPrefix begins the headers of a window of a subscription.
func windowPrefix(name string) string {
	if name == Unified {
		return unifiedPrefix
	}
	return http.CanonicalHeaderKey(unifiedPrefix + name + "-")
}

// windowNames are the windows of a subscription in h: the usual ones first, then others by name.
func windowNames(h http.Header) []string {
	names := []string{Unified, "5h", "7d", Overage}
	var others []string
	for header := range h {
		name, ok := strings.CutPrefix(header, unifiedPrefix)
		if !ok {
			continue
		}
		name, ok = strings.CutSuffix(name, "-"+utilizationSuffix)
		if !ok {
			name, ok = strings.CutSuffix(name, "-"+statusSuffix)
		}
		if name = word(strings.ToLower(name)); ok && name != "" && !slices.Contains(names, name) {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	names = append(names, slices.Compact(others)...)
	return names[:min(len(names), maxWindows-len(keyWindows()))]
}

// keyWindow is a window of an API key.
func keyWindow(h http.Header, name string, now time.Time) (w Window, ok bool) {
	limit, okLimit := countOf(h.Get(prefix + name + "-Limit"))
	remaining, okRemaining := countOf(h.Get(prefix + name + "-Remaining"))
	if !okLimit || !okRemaining || limit == 0 || remaining > limit {
		return w, false
	}
	w = Window{Name: name, Status: Unknown, Limit: limit, Remaining: remaining}
	w.Utilization = new(1 - float64(remaining)/float64(limit))
	if at, err := time.Parse(time.RFC3339, h.Get(prefix+name+"-"+resetSuffix)); err == nil {
		w.ResetsAt = plausible(at, now)
	}
	return w, true
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

func countOf(text string) (n int64, ok bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= 0 && n <= maxCount
}

// resetOf is when a window begins again; zero if that was not said.
func resetOf(text string, now time.Time) time.Time {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return plausible(time.Unix(seconds, 0), now)
}

// plausible is at, or zero for the reset of no window.
func plausible(at, now time.Time) time.Time {
	if at.Sub(now).Abs() > longestWindow {
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
	return strings.Clone(text) // not the whole header with it
}
