package ratelimit

import (
	"slices"

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
	accounts := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "proxy_upstream_accounts", Help: "Number of accounts in each rate-limit state, by window, from the upstream's latest response headers.",
	}, []string{"window", "state"})
	utilization := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "proxy_upstream_utilization_max_ratio", Help: "Highest utilization of a rate-limit window among accounts; 1: used up.",
	}, []string{"window"})
	most := make(map[string]float64)
	for _, account := range a.Report() {
		for _, w := range account.Windows {
			if isKeyWindow(w.Name) {
				continue
			}
			accounts.WithLabelValues(label(w.Name), string(w.Status)).Inc()
			if w.Utilization != nil {
				most[label(w.Name)] = max(most[label(w.Name)], *w.Utilization)
			}
		}
	}
	for _, window := range labels() {
		for _, state := range states() {
			accounts.WithLabelValues(window, string(state))
		}
		if window != Unified { // which has no utilization
			utilization.WithLabelValues(window).Set(most[window])
		}
	}
	accounts.Collect(metrics)
	utilization.Collect(metrics)
}
