package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Between these lines of a document, Markdown's table stands.
const (
	tableBegin = "<!-- make bench-table -->\n"
	tableEnd   = "<!-- end -->\n"
)

// row is one of the table that docs/comparison.md shows.
type row struct {
	measurement string
	quantity    Quantity
	title       string
}

func pageRows() []row {
	const steady, burst = "streams, TLS, timer slack", "burst, TLS, timer slack"
	return []row{
		{burst, FirstByte, "500 streams opened at once: first byte, median, ms"},
		{burst, CPUPerEvent, "the same: processor time per event, µs"},
		{burst, EventP99, "the same: delay of an event, 99th percentile, ms"},
		{steady, FirstByte, "500 streams opened one by one: first byte, median, ms"},
		{steady, CPUPerEvent, "the same: processor time per event, µs"},
		{steady, MemoryStream, "the same: memory per stream, kB"},
		{"requests, TLS", CPUPerRequest, "short POSTs: processor time each, µs"},
		{"connections, TLS", CPUPerRequest, "short POSTs, a connection each: processor time each, µs"},
		{"upload, TLS", CPUPerMB, "uploads of 32 MB: processor time per MB, µs"},
		{"download, TLS", CPUPerMB, "downloads of 32 MB: processor time per MB, µs"},
		{"slow clients, TLS", MemoryTotal, "300 clients that read nothing of 32 MB each: memory in all, kB"},
		{"slow clients, TLS", EventP99, "the same: delay of an event of 50 other streams, 99th percentile, ms"},
	}
}

// Markdown writes the table of docs/comparison.md from the medians.
func (r *Result) Markdown(w io.Writer) error {
	lines := []string{"| over TLS to the upstream | " + strings.Join(r.Peers, " | ") + " |", "|" + strings.Repeat("---|", len(r.Peers)+1)}
	for _, row := range pageRows() {
		i := slices.IndexFunc(r.Measurements, func(m Measurement) bool { return m.Name == row.measurement })
		if i < 0 {
			continue
		}
		cells := []string{row.title}
		for _, peer := range r.Peers {
			cells = append(cells, short(r.Measurements[i].Median[peer], row.quantity))
		}
		lines = append(lines, "| "+strings.Join(cells, " | ")+" |")
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// short is a number for a person, or a dash where the peer failed.
func short(medians map[Quantity]float64, q Quantity) string {
	value, ok := medians[q]
	switch {
	case !ok:
		return "–"
	case value < 10:
		return fmt.Sprintf("%.1f", value)
	default:
		return fmt.Sprintf("%.0f", value)
	}
}

// ReplaceTable puts the table of r into a document, between its two marks.
func (r *Result) ReplaceTable(document string) (string, error) {
	before, rest, found := strings.Cut(document, tableBegin)
	_, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		return "", fmt.Errorf("the document has no lines %q and %q", tableBegin, tableEnd)
	}
	var table strings.Builder
	if err := r.Markdown(&table); err != nil {
		return "", err
	}
	return before + tableBegin + table.String() + tableEnd + after, nil
}
