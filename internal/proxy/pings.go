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
	carriesData    = "data"
	carriesPings   = "pings"   // nothing else for pingsCount
	carriesNothing = "silent"  // not even a ping for pingsCount: the path may be dead
	carriesUnknown = "unknown" // it is compressed
)

// carries returns which of these it is, and for how long.
func (t Trace) carries() (kind string, long time.Duration) {
	silence, withoutData := t.Silence.Duration(), (t.OnlyPings + t.Silence).Duration()
	switch {
	case t.Stream == StreamCompressed:
		return carriesUnknown, 0
	case silence >= pingsCount:
		return carriesNothing, silence
	case withoutData >= pingsCount:
		return carriesPings, withoutData
	default:
		return carriesData, 0
	}
}

// Describe implements prometheus.Collector.
func (f *flights) Describe(descs chan<- *prometheus.Desc) { prometheus.DescribeByCollect(f, descs) }

// Collect implements prometheus.Collector, for the streams in flight.
func (f *flights) Collect(metrics chan<- prometheus.Metric) {
	counts, longest := f.streams()
	count := prometheus.NewDesc("proxy_streams_in_flight",
		"Event streams in flight that carry data, that have sent nothing but pings or nothing at all (silent) for a minute, or that are compressed (unknown).",
		[]string{"events"}, nil)
	most := prometheus.NewDesc("proxy_streams_only_pings_max_seconds",
		"Longest time for which a stream in flight has sent nothing but pings; 0 if below a minute.", nil, nil)
	for _, kind := range [...]string{carriesData, carriesPings, carriesNothing, carriesUnknown} {
		metrics <- prometheus.MustNewConstMetric(count, prometheus.GaugeValue, float64(counts[kind]), kind)
	}
	metrics <- prometheus.MustNewConstMetric(most, prometheus.GaugeValue, longest[carriesPings].Seconds())
}

// streams counts the streams in flight by what they carry, and returns the longest time of
// those without data.
func (f *flights) streams() (counts map[string]int, longest map[string]time.Duration) {
	counts, longest = make(map[string]int), make(map[string]time.Duration)
	open, _ := f.list()
	for _, x := range open {
		if t := x.trace(); t.Stream != "" {
			kind, long := t.carries()
			counts[kind]++
			longest[kind] = max(longest[kind], long)
		}
	}
	return counts, longest
}

// warnings returns warnings about streams without data for long.
func (f *flights) warnings() (all []string) {
	counts, longest := f.streams()
	streams := counts[carriesData] + counts[carriesPings] + counts[carriesNothing]
	if long := longest[carriesPings]; long >= pingsWarn {
		all = append(all, fmt.Sprintf("%d of %d streams carry nothing but pings, one for %v: the API sends no data; see `oauth-proxyd requests`",
			counts[carriesPings], streams, long.Round(time.Second)))
	}
	if long := longest[carriesNothing]; long >= pingsWarn {
		all = append(all, fmt.Sprintf("%d of %d streams are silent, without even a ping, one for %v: the API or the path to it may be down; %s",
			counts[carriesNothing], streams, long.Round(time.Second), runDoctor))
	}
	return all
}
