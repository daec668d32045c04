package proxy

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// After pingsCount with nothing but pings, a stream counts as one that only pings, and after
// pingsWarn there is a warning. The stream is not cut: the API pings while it has nothing to send,
// for example while a model thinks.
const (
	pingsCount = time.Minute
	pingsWarn  = 4 * time.Minute
)

// onlyPings returns how long nothing but pings has come, up to the latest ping; the silence after
// that is shown separately. The caller holds mu, or is the exchange.
func (r *record) onlyPings() Millis {
	began := int64(r.FirstByte.Duration())
	return millis(time.Duration(max(0, r.events.pingAt.Load()-max(began, r.events.dataAt.Load()))))
}

// PingsOnly reports whether a stream has carried nothing but pings for a minute.
func (t Trace) PingsOnly() bool { return t.OnlyPings.Duration() >= pingsCount }

// What a stream in flight carries.
const (
	carriesPings   = "pings"   // nothing else for pingsCount
	carriesUnknown = "unknown" // it is compressed
	carriesOther   = "other"
)

func (f *flights) Describe(descs chan<- *prometheus.Desc) { prometheus.DescribeByCollect(f, descs) }

// Collect implements prometheus.Collector, for the streams in flight.
func (f *flights) Collect(metrics chan<- prometheus.Metric) {
	counts, longest := f.streams()
	count := prometheus.NewDesc("proxy_streams_in_flight",
		"Event streams in flight that have sent nothing but pings for a minute, that are compressed (unknown), and all others (other).", []string{"events"}, nil)
	most := prometheus.NewDesc("proxy_streams_only_pings_max_seconds",
		"Longest time for which a stream in flight has sent nothing but pings; 0 if below a minute.", nil, nil)
	for _, kind := range [...]string{carriesPings, carriesUnknown, carriesOther} {
		metrics <- prometheus.MustNewConstMetric(count, prometheus.GaugeValue, float64(counts[kind]), kind)
	}
	metrics <- prometheus.MustNewConstMetric(most, prometheus.GaugeValue, longest.Seconds())
}

// streams counts the streams in flight by what they carry, and returns the longest time for which
// one has only pinged.
func (f *flights) streams() (counts map[string]int, longest time.Duration) {
	counts = make(map[string]int)
	open, _ := f.list()
	for _, x := range open {
		switch t := x.trace(); {
		case t.Stream == "":
		case t.Stream == StreamCompressed:
			counts[carriesUnknown]++
		case t.PingsOnly():
			counts[carriesPings]++
			longest = max(longest, t.OnlyPings.Duration())
		default:
			counts[carriesOther]++
		}
	}
	return counts, longest
}

// warning returns a warning about streams that have only pinged for long, or "".
func (f *flights) warning() string {
	counts, longest := f.streams()
	if longest < pingsWarn {
		return ""
	}
	return fmt.Sprintf("%d of %d streams carry nothing but pings, one for %v: the API sends no data; see `oauth-proxyd requests`",
		counts[carriesPings], counts[carriesPings]+counts[carriesOther], longest.Round(time.Second))
}
