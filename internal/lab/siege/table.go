package siege

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteTable writes the results as a table of Markdown.
func WriteTable(w io.Writer, results []Result) error {
	const head = `Memory is in MiB: the control group without its page cache, then the resident set of the process. Times are in
milliseconds, median / longest, on new connections; "machine" is a request to the upstream without the daemon. Connections: that
the attacker got, and that the daemon still had at the end of the attack. Slots: how many the attacker still had when the time for
them was up, with its connections open, and after how long the last one was free. Goroutines: before, and after the attacker left.

| attack | who | connections | before | most | after | client | /health | machine | slots | goroutines | log lines | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
`
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	for _, r := range results {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(r.cells(), " | ")); err != nil {
			return err
		}
	}
	return nil
}

func (r Result) cells() []string {
	return []string{
		r.Attack.Name, string(r.Attack.Who), r.connections(),
		r.Before.String(), r.Max.String(), r.After.String(),
		r.Client.String(), r.Health.String(), r.Control.String(),
		fmt.Sprintf("%d, %d ms", max(r.CountersAfter.InFlight-r.CountersBefore.InFlight, 0), r.SlotsAfter.Milliseconds()),
		fmt.Sprintf("%d, %d", r.CountersBefore.Goroutines, r.GoroutinesAfter),
		fmt.Sprint(r.Lines), r.Verdict(),
	}
}

// connections are unknown of another program.
func (r Result) connections() string {
	if r.Note != "" {
		return "–"
	}
	return fmt.Sprintf("%d, %d", r.Connected, max(r.Kept, 0))
}

// Verdict is one line.
func (r Result) Verdict() string {
	verdict := "ok"
	if faults := r.Faults(); len(faults) > 0 {
		verdict = "FAIL: " + strings.Join(faults, "; ")
	}
	if r.UpstreamClosed > 0 {
		verdict += fmt.Sprintf(" (the upstream closed %d connections for their resets)", r.UpstreamClosed)
	}
	if r.Note != "" {
		verdict += " (" + r.Note + ")"
	}
	return strings.NewReplacer("\n", " ", "|", `\|`).Replace(verdict)
}

// String is both figures.
func (m Memory) String() string {
	if m.Cgroup == 0 {
		return "– / " + mebibytes(m.RSS)
	}
	return mebibytes(m.Cgroup) + " / " + mebibytes(m.RSS)
}

// String is the median and the longest in milliseconds.
func (w Waits) String() string {
	text := fmt.Sprintf("%s / %s", milliseconds(w.Median()), milliseconds(w.Max()))
	if w.Failed > 0 {
		text += fmt.Sprintf(" (%d of %d failed)", w.Failed, w.Count())
	}
	return text
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond))
}
