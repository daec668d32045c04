package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Write prints the result as tables: medians, and in brackets ours as a part of the peer's.
func (r *Result) Write(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i := range r.Measurements {
		r.Measurements[i].write(out, r.Peers)
	}
	for i, v := range r.Aims {
		if i == 0 {
			_, _ = fmt.Fprintf(out, "aims\t\tat most\treached\t\t\n") // Flush tells of errors
		}
		of, met := "", "missed"
		if v.Peer != "" {
			of = " of " + v.Peer
		}
		if v.Met {
			met = "met"
		}
		_, _ = fmt.Fprintf(out, "%s\t%s\t%.4g%s\t%.3g\t%s\t\n", v.Measurement, v.Quantity, v.Most, of, v.Reached, met)
	}
	return out.Flush()
}

func (m *Measurement) write(out io.Writer, peers []string) {
	_, _ = fmt.Fprintf(out, "%s\t", m.Name)
	if m.Name == startName {
		peers = []string{Ours}
	}
	for _, peer := range peers {
		_, _ = fmt.Fprintf(out, "%s\t\t", peer)
	}
	_, _ = fmt.Fprintf(out, "\n\t")
	for _, peer := range peers {
		_, _ = fmt.Fprintf(out, "%s\t\t", m.Protocol[peer])
	}
	_, _ = fmt.Fprintln(out)
	for _, q := range m.quantities() {
		_, _ = fmt.Fprintf(out, "%s\t", q)
		for _, peer := range peers {
			_, _ = fmt.Fprint(out, m.cell(peer, q))
		}
		_, _ = fmt.Fprintln(out)
	}
	for peer, why := range m.Failed {
		_, _ = fmt.Fprintf(out, "failed: %s: %s\n", peer, why)
	}
	_, _ = fmt.Fprintln(out)
}

func (m *Measurement) cell(peer string, q Quantity) string {
	value, ok := m.Median[peer][q]
	switch ratio, compared := m.Ratio[peer][q]; {
	case !ok:
		return "–\t\t"
	case peer == Ours || !compared:
		return fmt.Sprintf("%.4g\t\t", value)
	default:
		return fmt.Sprintf("%.4g\t(%.2f)\t", value, ratio)
	}
}
