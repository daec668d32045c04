package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxAccounts bounds what a hostile or very large upstream can make us remember.
	maxAccounts = 200
	// accountLife is how long an account is remembered after its last response.
	accountLife = 8 * time.Hour
)

// The headers with which Anthropic reports the state of a subscription's limits. Those of one
// window begin with the prefix and the name of the window.
const (
	organizationHeader = "Anthropic-Organization-Id"
	unifiedPrefix      = "Anthropic-Ratelimit-Unified-"
	statusSuffix       = "Status"
	resetSuffix        = "Reset"
	utilizationSuffix  = "Utilization"
)

// limitState is what the upstream says of a window, as a label: another word of its is "other",
// none is "unknown".
type limitState string

const (
	limitAllowed  limitState = "allowed"
	limitWarning  limitState = "allowed_warning"
	limitRejected limitState = "rejected"
	limitOther    limitState = "other"
	limitUnknown  limitState = "unknown"
)

// limitStates are the values of the label.
func limitStates() []limitState {
	return []limitState{limitAllowed, limitWarning, limitRejected, limitOther, limitUnknown}
}

// overall is the verdict over all windows, which has no name in headers.
const overall = "unified"

// limitWindows are the values of the label window: the verdict over all, then the two that a
// subscription has.
func limitWindows() []string { return []string{overall, "5h", "7d"} }

// limit is what one response said of one window.
type limit struct {
	state       limitState
	utilization float64 // 0 to 1, and above; 0 if it was not said
	reset       time.Time
}

// account is what the latest response said of an organization.
type account struct {
	seen   time.Time
	limits map[string]limit // by window; those that were mentioned
}

// accounts aggregates the rate-limit headers of responses, so that nobody's use can be read from
// the metrics. An organization is known by a hash with a key that lives as long as the process.
type accounts struct {
	key [sha256.Size]byte

	mu    sync.Mutex
	known map[[sha256.Size]byte]account

	count       *prometheus.Desc
	utilization *prometheus.Desc
}

func newAccounts() *accounts {
	a := &accounts{
		known: make(map[[sha256.Size]byte]account),
		count: prometheus.NewDesc("proxy_upstream_accounts",
			"Organizations by what the upstream last said of a rate-limit window of theirs.", []string{"window", "state"}, nil),
		utilization: prometheus.NewDesc("proxy_upstream_utilization_max_ratio",
			"The highest utilization of a rate-limit window among organizations, 1 is all of it.", []string{"window"}, nil),
	}
	_, _ = rand.Read(a.key[:]) // never fails (crypto/rand)
	return a
}

// add reads the header of a response.
func (a *accounts) add(h http.Header) {
	organization := h.Get(organizationHeader)
	if organization == "" {
		return
	}
	limits := limitsIn(h)
	if len(limits) == 0 {
		return
	}
	id := sha256.Sum256(append(a.key[:len(a.key):len(a.key)], organization...))
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.known[id]; !ok && len(a.known) >= maxAccounts {
		a.forgetOldest()
	}
	a.known[id] = account{seen: now, limits: limits}
}

// forgetOldest makes room for one. The caller holds mu.
func (a *accounts) forgetOldest() {
	var oldest [sha256.Size]byte
	var seen time.Time
	for id, one := range a.known {
		if seen.IsZero() || one.seen.Before(seen) {
			oldest, seen = id, one.seen
		}
	}
	delete(a.known, oldest)
}

// limitsIn are the windows that h mentions. One without a status of its own allows what all of them
// together do.
func limitsIn(h http.Header) map[string]limit {
	limits := make(map[string]limit)
	for _, window := range limitWindows() {
		prefix := unifiedPrefix
		if window != overall {
			prefix += window + "-"
		}
		status, utilization := h.Get(prefix+statusSuffix), h.Get(prefix+utilizationSuffix)
		if status == "" && utilization == "" {
			continue
		}
		state := limitStateOf(status)
		if state == limitUnknown && limits[overall].state == limitAllowed {
			state = limitAllowed
		}
		limits[window] = limit{
			state: state, utilization: utilizationOf(utilization), reset: resetOf(h.Get(prefix + resetSuffix)),
		}
	}
	return limits
}

func limitStateOf(status string) limitState {
	switch s := limitState(status); s {
	case "":
		return limitUnknown
	case limitAllowed, limitWarning, limitRejected:
		return s
	default:
		return limitOther
	}
}

// utilizationOf bounds what an upstream can make a gauge say.
func utilizationOf(text string) float64 {
	const most = 10
	u, err := strconv.ParseFloat(text, 64)
	if err != nil || !(u >= 0) { // NaN is not
		return 0
	}
	return min(u, most)
}

// resetOf is when a window begins again; zero if that was not said.
func resetOf(text string) time.Time {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// Describe implements prometheus.Collector.
func (a *accounts) Describe(descs chan<- *prometheus.Desc) {
	descs <- a.count
	descs <- a.utilization
}

// Collect implements prometheus.Collector. A window that has begun again since is not known any
// more.
func (a *accounts) Collect(metrics chan<- prometheus.Metric) {
	counts, most := a.aggregate(time.Now())
	for _, window := range limitWindows() {
		for _, state := range limitStates() {
			metrics <- prometheus.MustNewConstMetric(a.count, prometheus.GaugeValue,
				float64(counts[window][state]), window, string(state))
		}
		if window != overall { // of which there is none
			metrics <- prometheus.MustNewConstMetric(a.utilization, prometheus.GaugeValue, most[window], window)
		}
	}
}

func (a *accounts) aggregate(now time.Time) (counts map[string]map[limitState]int, most map[string]float64) {
	counts, most = make(map[string]map[limitState]int), make(map[string]float64)
	for _, window := range limitWindows() {
		counts[window] = make(map[limitState]int)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, one := range a.known {
		if now.Sub(one.seen) >= accountLife {
			delete(a.known, id)
			continue
		}
		for window, l := range one.limits {
			if !l.reset.IsZero() && now.After(l.reset) {
				l = limit{state: limitUnknown}
			}
			counts[window][l.state]++
			most[window] = max(most[window], l.utilization)
		}
	}
	return counts, most
}
