package ratelimit

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// otherWindow is the label of windows of single models, whatever they are called.
const otherWindow = "other"

// labels are the values of the label window. Windows of an API key have none: they refill within a
// minute, and say nothing that an alert could be about.
func labels() []string { return []string{Unified, "5h", "7d", Overage, otherWindow} }

func label(window string) string {
	if slices.Contains(labels(), window) {
		return window
	}
	return otherWindow
}

func countDesc() *prometheus.Desc {
	return prometheus.NewDesc("proxy_upstream_accounts",
		"Organizations by what the upstream last said of a rate-limit window of theirs.", []string{"window", "state"}, nil)
}

func utilizationDesc() *prometheus.Desc {
	return prometheus.NewDesc("proxy_upstream_utilization_max_ratio",
		"The highest utilization of a rate-limit window among organizations, 1 is all of it.", []string{"window"}, nil)
}

// Describe implements prometheus.Collector.
func (a *Accounts) Describe(descs chan<- *prometheus.Desc) {
	descs <- countDesc()
	descs <- utilizationDesc()
}

// Collect implements prometheus.Collector. Nobody's use can be read from the metrics: they name
// neither accounts nor people.
func (a *Accounts) Collect(metrics chan<- prometheus.Metric) {
	counts, most := a.aggregate(time.Now())
	for _, window := range labels() {
		for _, state := range states() {
			metrics <- prometheus.MustNewConstMetric(countDesc(), prometheus.GaugeValue,
				float64(counts[series{window, state}]), window, string(state))
		}
		if window != Unified { // of which there is none
			metrics <- prometheus.MustNewConstMetric(utilizationDesc(), prometheus.GaugeValue, most[window], window)
		}
	}
}

// series is a window and a state of it.
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
