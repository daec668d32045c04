package ratelimit

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// otherWindow is the label of the windows of single models.
const otherWindow = "other"

// labels returns the values of the label window. An API key's windows have none: they refill within
// a minute, too fast for an alert.
func labels() []string { return []string{Unified, "5h", "7d", Overage, otherWindow} }

func label(window string) string {
	if slices.Contains(labels(), window) {
		return window
	}
	return otherWindow
}

// Describe implements prometheus.Collector.
func (a *Accounts) Describe(descs chan<- *prometheus.Desc) { prometheus.DescribeByCollect(a, descs) }

// Collect implements prometheus.Collector. The metrics name neither accounts nor people.
func (a *Accounts) Collect(metrics chan<- prometheus.Metric) {
	accounts := prometheus.NewDesc("proxy_upstream_accounts",
		"Number of accounts in each rate-limit state, by window, from the upstream's latest response headers.", []string{"window", "state"}, nil)
	utilization := prometheus.NewDesc("proxy_upstream_utilization_max_ratio",
		"Highest utilization of a rate-limit window among accounts; 1: used up.", []string{"window"}, nil)
	counts, most := a.aggregate(time.Now())
	for _, window := range labels() {
		for _, state := range states() {
			metrics <- prometheus.MustNewConstMetric(accounts, prometheus.GaugeValue,
				float64(counts[series{window, state}]), window, string(state))
		}
		if window != Unified { // which has no utilization
			metrics <- prometheus.MustNewConstMetric(utilization, prometheus.GaugeValue, most[window], window)
		}
	}
}

// series is a window and one of its states.
type series struct {
	window string
	state  State
}

func (a *Accounts) aggregate(now time.Time) (counts map[series]int, most map[string]float64) {
	counts, most = make(map[series]int), make(map[string]float64)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgetOld(now)
	for _, one := range a.known {
		for _, w := range one.Windows {
			switch {
			case isKeyWindow(w.Name):
			case w.ended(now):
				counts[series{label(w.Name), Unknown}]++
			default:
				counts[series{label(w.Name), w.Status}]++
				if w.Utilization != nil {
					most[label(w.Name)] = max(most[label(w.Name)], *w.Utilization)
				}
			}
		}
	}
	return counts, most
}
