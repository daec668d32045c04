package bench

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestFinish proves the arithmetic: medians over rounds, our part of a peer's, and whether that
// meets an aim.
func TestFinish(t *testing.T) {
	r := newResult(Config{Peers: []Peer{{Name: Ours}, {Name: "nginx"}, {Name: "caddy"}}, Pace: Pace{Rounds: 3}})
	for _, v := range []float64{30, 10, 20} {
		r.add("burst, TLS, timer slack", Ours, "HTTP/2.0", Values{CPUPerEvent: v, FirstByte: 40}, nil)
	}
	for _, v := range []float64{10, 30} {
		r.add("burst, TLS, timer slack", "nginx", "HTTP/1.1", Values{CPUPerEvent: v, FirstByte: 100}, nil)
	}
	r.add("burst, TLS, timer slack", "caddy", "", nil, errors.New("did not start"))
	r.Finish()
	m := r.measurement("burst, TLS, timer slack")
	if got := m.Median[Ours][CPUPerEvent]; got != 20 {
		t.Errorf("median of three is %v, want 20", got)
	}
	if got := m.Ratio["nginx"][CPUPerEvent]; got != 1 {
		t.Errorf("ratio is %v, want 1", got)
	}
	met := map[Quantity]bool{}
	for _, v := range r.Aims {
		met[v.Quantity] = v.Met
	}
	if met[CPUPerEvent] || !met[FirstByte] || len(met) != 2 {
		t.Errorf("aims: %+v", r.Aims)
	}
	var table strings.Builder
	if err := r.Write(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"HTTP/1.1", "(1.00)", "failed: caddy: did not start", "missed"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	begin := fmt.Sprintf(tableBegin, Usual)
	renewed, err := r.ReplaceTable("# Title\n" + begin + "| old |\n" + tableEnd + "more\n")
	want := "# Title\n" + begin + "| over TLS to the upstream | oauth-proxyd | nginx | caddy |\n|---|---|---|---|\n" +
		"| 500 streams opened at once: first byte, median, ms | 40 | 100 | – |\n" +
		"| the same: processor time per event, µs | 20 | 20 | – |\n" +
		"| the same: delay of an event, 99th percentile, ms | – | – | – |\n" + tableEnd + "more\n"
	if err != nil || renewed != want {
		t.Errorf("the document is %q, %v, want %q", renewed, err, want)
	}
	if _, err := r.ReplaceTable("nothing here"); err == nil {
		t.Error("no error for a document without a table")
	}
}

// The rows with timer slack are for our unit.
func TestSlackIsTheUnits(t *testing.T) {
	unit, err := os.ReadFile("../../../packaging/systemd/oauth-proxyd.service")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("\nTimerSlackNSec=%v\n", unitSlack); !strings.Contains(string(unit), want) {
		t.Errorf("the unit does not have %q", want)
	}
}
