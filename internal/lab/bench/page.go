package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Between these lines of a document, what a set of measurements gave stands.
const (
	tableBegin = "<!-- make bench-table: %s -->\n"
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

// Markdown writes what docs/comparison.md shows of the set.
func (r *Result) Markdown(w io.Writer) error {
	var text string
	switch r.Set {
	case Growth:
		text = r.growthPage()
	case Slack:
		text = r.slackPage()
	case Together:
		text = r.table("at the same time on one core", r.Peers, []row{
			{"streams together, TLS, timer slack", CPUPerEvent, "200 streams each: processor time per event, µs"},
			{"requests together, TLS", CPUPerRequest, "short POSTs, the same number each: processor time each, µs"},
		})
	default:
		text = r.table("over TLS to the upstream", r.Peers, pageRows())
	}
	_, err := io.WriteString(w, text)
	return err
}

// table has a row for each that was measured, and a column for each peer.
func (r *Result) table(title string, peers []string, rows []row) string {
	lines := []string{"| " + title + " | " + strings.Join(peers, " | ") + " |", "|" + strings.Repeat("---|", len(peers)+1)}
	for _, row := range rows {
		i := slices.IndexFunc(r.Measurements, func(m Measurement) bool { return m.Name == row.measurement })
		if i < 0 {
			continue
		}
		cells := []string{row.title}
		for _, peer := range peers {
			cells = append(cells, short(r.Measurements[i].Median[peer], row.quantity))
		}
		lines = append(lines, "| "+strings.Join(cells, " | ")+" |")
	}
	return strings.Join(lines, "\n") + "\n"
}

// growthPage has a table and plots: processor time and memory by the number of streams, and
// processor time by the streams on a connection.
func (r *Result) growthPage() string {
	byStreams, byLimit := r.named(" streams"), r.named(" a connection")
	var rows []row
	for _, m := range byStreams {
		rows = append(rows, row{m, CPUPerEvent, m + ": processor time per event, µs"},
			row{m, MemoryStream, "the same: memory per stream, kB"})
	}
	for _, m := range byLimit {
		rows = append(rows, row{m, CPUPerEvent, "500 streams, the upstream takes " + m + ": processor time per event, µs"},
			row{m, MemoryStream, "the same: memory per stream, kB"})
	}
	return r.table("streams over TLS", r.Peers, rows) +
		r.plot("Processor time per event, µs, by the number of streams", byStreams, CPUPerEvent) +
		r.plot("Memory per stream, kB, by the number of streams", byStreams, MemoryStream) +
		r.plot("Processor time per event, µs, by the upstream's limit on streams of a connection", byLimit, CPUPerEvent)
}

// named returns the names of measurements that end so, in their order.
func (r *Result) named(end string) (names []string) {
	for _, m := range r.Measurements {
		if strings.HasSuffix(m.Name, end) {
			names = append(names, m.Name)
		}
	}
	return names
}

// plot draws a line for oauth-proxyd, as a Mermaid diagram. The names of the measurements begin
// with a number.
func (r *Result) plot(title string, names []string, q Quantity) string {
	var x, y []string
	for _, name := range names {
		number, _, _ := strings.Cut(name, " ")
		x = append(x, strconv.Quote(number))
		y = append(y, short(r.measurement(name).Median[Ours], q))
	}
	return fmt.Sprintf("\n```mermaid\nxychart-beta\n  title %q\n  x-axis [%s]\n  y-axis 0 --> %.0f\n  line [%s]\n```\n",
		title, strings.Join(x, ", "), r.most(names, q), strings.Join(y, ", "))
}

// most is a round number above all values of oauth-proxyd.
func (r *Result) most(names []string, q Quantity) float64 {
	const step = 10
	most := 0.0
	for _, name := range names {
		most = max(most, r.measurement(name).Median[Ours][q])
	}
	return math.Ceil(most/step+0.5) * step
}

// slackPage has a row for each slack, of oauth-proxyd.
func (r *Result) slackPage() string {
	lines := []string{
		"| `TimerSlackNSec=` | steady: processor time per event, µs | event p99, ms | first byte, ms | burst: processor time per event, µs | event p99, ms | first byte, ms |",
		"|---|---|---|---|---|---|---|",
	}
	for _, m := range r.named(", streams") {
		value := strings.TrimSuffix(strings.TrimPrefix(m, "slack "), ", streams")
		cells := []string{value}
		for _, name := range []string{m, "slack " + value + ", burst"} {
			for _, q := range []Quantity{CPUPerEvent, EventP99, FirstByte} {
				cells = append(cells, short(r.measurement(name).Median[Ours], q))
			}
		}
		lines = append(lines, "| "+strings.Join(cells, " | ")+" |")
	}
	return strings.Join(lines, "\n") + "\n"
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
	begin := fmt.Sprintf(tableBegin, r.Set)
	before, rest, found := strings.Cut(document, begin)
	_, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		return "", fmt.Errorf("the document has no lines %q and %q", begin, tableEnd)
	}
	var table strings.Builder
	if err := r.Markdown(&table); err != nil {
		return "", err
	}
	return before + begin + table.String() + tableEnd + after, nil
}
