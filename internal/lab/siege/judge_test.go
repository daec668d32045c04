package siege_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/lab/siege"
)

// good is the result of an attack that did nothing.
func good(t *testing.T, who siege.Who) siege.Result {
	t.Helper()
	return siege.Result{
		Attack:    siege.Attack{Name: "x", Who: who},
		Timeouts:  siege.ShortTiming().Timeouts,
		Connected: 1,
		Client:    siege.NewWaits(time.Millisecond),
		Health:    siege.NewWaits(time.Millisecond),
	}
}

// TestJudgement proves that each broken promise is a fault, of those to whom it was made.
func TestJudgement(t *testing.T) {
	for _, tt := range []struct {
		name  string
		who   siege.Who
		spoil func(*siege.Result)
		want  string
	}{
		{"nothing", siege.Refused, func(*siege.Result) {}, ""},
		{"memory of a stranger", siege.Refused, func(r *siege.Result) { r.Max.RSS = 21 << 20 }, "21.0 MiB more memory"},
		{"the same of a client", siege.Admitted, func(r *siege.Result) { r.Max.RSS = 21 << 20 }, ""},
		{"too much of a client", siege.Admitted, func(r *siege.Result) { r.Max.Cgroup = 513 << 20 }, "513.0 MiB of memory"},
		{"log", siege.Refused, func(r *siege.Result) { r.Lines = 2 }, "2 lines of log"},
		{"a line each", siege.Refused, func(r *siege.Result) { r.Lines, r.Attack.Sources = 2, 2 }, ""},
		{"log of a client", siege.Admitted, func(r *siege.Result) { r.Lines = 2 }, ""},
		{"slow", siege.Refused, func(r *siege.Result) { r.Client = siege.NewWaits(time.Second) }, "a client waited 1s (median)"},
		{"slow once", siege.Refused, func(r *siege.Result) { r.Health = siege.NewWaits(1, 1, 3*time.Second) }, "/health waited 3s, want 2s"},
		{"a queue", siege.Admitted, func(r *siege.Result) { r.Client, r.Attack.Fills = siege.NewWaits(3*time.Second), true }, ""},
		{"slots", siege.Admitted, func(r *siege.Result) { r.CountersAfter.InFlight = 3 }, "3 slots were still taken"},
		{"goroutines", siege.Admitted, func(r *siege.Result) { r.GoroutinesAfter = 1_000 }, "1000 goroutines"},
		{"a stream", siege.Admitted, func(r *siege.Result) { r.StreamErr = errors.New("cut") }, "another client's stream was cut"},
		{"an end", siege.Admitted, func(r *siege.Result) { r.Died = "signal: killed" }, "the daemon ended: signal: killed"},
		{"no attack", siege.Admitted, func(r *siege.Result) { r.Connected = 0 }, "the attacker got no connection"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good(t, tt.who)
			tt.spoil(&r)
			got := strings.Join(r.Faults(), "\n")
			if (tt.want == "") != (got == "") || !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			var table bytes.Buffer
			if err := siege.WriteTable(&table, []siege.Result{r}); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(table.String(), tt.want) || strings.Contains(table.String(), "| ok |") != (tt.want == "") {
				t.Errorf("the table has another verdict:\n%s", table.String())
			}
		})
	}
}

// TestUnit proves that the limits are read from the unit that is shipped, and that one without them
// is refused.
func TestUnit(t *testing.T) {
	l, err := siege.ReadUnit(unit)
	if err != nil {
		t.Fatal(err)
	}
	if l.Memory < 1<<20 || l.Tasks < 1 || l.Files < 1<<10 || !strings.Contains(strings.Join(l.Environment, " "), "GOMEMLIMIT=") {
		t.Errorf("not the limits of a service: %+v", l)
	}
	for text, want := range map[string]string{
		"MemoryMax=1G\nMemorySwapMax=0\nTasksMax=512\n": "does not set LimitNOFILE",
		"MemoryMax=lots\n": "MemoryMax",
	} {
		file := filepath.Join(t.TempDir(), "x.service")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := siege.ReadUnit(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
