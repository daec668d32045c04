package bench

import (
	"cmp"
	"maps"
	"slices"
)

// Result is what a run gave.
type Result struct {
	Set          string        `json:"set"`
	Peers        []string      `json:"peers"`
	Rounds       int           `json:"rounds"`
	Measurements []Measurement `json:"measurements"`
	Aims         []Verdict     `json:"aims"`
}

// Measurement is one of them, over all rounds.
type Measurement struct {
	Name     string                            `json:"name"`
	Protocol map[string]string                 `json:"protocol"` // to the upstream, by peer
	Rounds   map[string]map[Quantity][]float64 `json:"rounds"`   // by peer
	Median   map[string]map[Quantity]float64   `json:"median"`   // by peer
	Ratio    map[string]map[Quantity]float64   `json:"ratio"`    // ours to the peer's
	Failed   map[string]string                 `json:"failed,omitempty"`
}

func newResult(c Config) *Result {
	r := &Result{Set: cmp.Or(c.Set, Usual), Rounds: c.Pace.Rounds}
	for _, p := range c.Peers {
		r.Peers = append(r.Peers, p.Name)
	}
	return r
}

// measurement finds one by its name.
func (r *Result) measurement(name string) *Measurement {
	for i := range r.Measurements {
		if r.Measurements[i].Name == name {
			return &r.Measurements[i]
		}
	}
	r.Measurements = append(r.Measurements, Measurement{
		Name: name, Protocol: map[string]string{}, Rounds: map[string]map[Quantity][]float64{},
		Median: map[string]map[Quantity]float64{}, Ratio: map[string]map[Quantity]float64{}, Failed: map[string]string{},
	})
	return &r.Measurements[len(r.Measurements)-1]
}

// add takes in what one peer did in one round.
func (r *Result) add(name, peer, protocol string, values Values, err error) {
	m := r.measurement(name)
	if err != nil {
		m.Failed[peer] = err.Error()
		return
	}
	m.Protocol[peer] = protocol
	if m.Rounds[peer] == nil {
		m.Rounds[peer] = map[Quantity][]float64{}
	}
	for q, v := range values {
		m.Rounds[peer][q] = append(m.Rounds[peer][q], v)
	}
}

// Finish computes medians, ratios and verdicts.
func (r *Result) Finish() {
	for i := range r.Measurements {
		m := &r.Measurements[i]
		for peer, quantities := range m.Rounds {
			m.Median[peer] = map[Quantity]float64{}
			for q, values := range quantities {
				m.Median[peer][q] = median(values)
			}
		}
		for peer, medians := range m.Median {
			m.Ratio[peer] = map[Quantity]float64{}
			for q, theirs := range medians {
				if ours, ok := m.Median[Ours][q]; ok && theirs > 0 {
					m.Ratio[peer][q] = ours / theirs
				}
			}
		}
	}
	r.judge()
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// Aim is what we want to reach: at most Most of what the peer needs, or, without a peer, Most
// itself.
type Aim struct {
	Measurement string   `json:"measurement"`
	Quantity    Quantity `json:"quantity"`
	Peer        string   `json:"peer,omitempty"`
	Most        float64  `json:"most"`
}

// Verdict is what became of an aim.
type Verdict struct {
	Aim
	Reached float64 `json:"reached"`
	Met     bool    `json:"met"`
}

func aims() []Aim {
	const steady, burst = "streams, TLS, timer slack", "burst, TLS, timer slack"
	return []Aim{
		{steady, CPUPerEvent, "nginx", 0.85},
		{steady, CPUPerEvent, "haproxy", 1.0},
		{steady, CPUPerEvent, "httputil", 0.95},
		{steady, FirstByte, "nginx", 1.0},
		{steady, MemoryStream, "nginx", 0.9},
		{burst, CPUPerEvent, "nginx", 0.7},
		{burst, CPUPerEvent, "haproxy", 0.5},
		{burst, CPUPerEvent, "httputil", 0.65},
		{burst, FirstByte, "nginx", 0.5},
		{burst, EventP99, "nginx", 1.0},
		{"requests, TLS", CPUPerRequest, "httputil", 0.9},
		{"upload, TLS", CPUPerMB, "httputil", 1.1},
		{"slow clients, TLS", MemoryTotal, "", 150_000},
		{startName, ReadyTime, "", 100},
	}
}

// judge compares with the aims that were measured.
func (r *Result) judge() {
	r.Aims = nil
	for _, aim := range aims() {
		i := slices.IndexFunc(r.Measurements, func(m Measurement) bool { return m.Name == aim.Measurement })
		if i < 0 {
			continue
		}
		reached, ok := r.Measurements[i].Ratio[aim.Peer][aim.Quantity]
		if aim.Peer == "" {
			reached, ok = r.Measurements[i].Median[Ours][aim.Quantity]
		}
		if ok {
			r.Aims = append(r.Aims, Verdict{aim, reached, reached <= aim.Most})
		}
	}
}

// quantities are those that a measurement has, in order.
func (m *Measurement) quantities() []Quantity {
	all := map[Quantity]bool{}
	for _, medians := range m.Median {
		for q := range medians {
			all[q] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
