package soak

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

// TestMain puts the binary into the PATH of all tests.
func TestMain(m *testing.M) { os.Exit(daemontest.Main(m)) }

// TestRun proves that the soak gets through, with hand-overs, and draws what it saw.
func TestRun(t *testing.T) {
	report, err := Run(t.Context(), Config{Program: "oauth-proxyd", Duration: 3 * time.Second, Clients: 10, Idle: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := report.Write(&text); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + text.String())
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if report.counts["handed over"] == 0 || report.counts["hangup"] == 0 {
		t.Errorf("nothing disturbed it: %v", report.counts)
	}
	dir := t.TempDir()
	if err := report.Plot(dir); err != nil {
		t.Fatal(err)
	}
	for _, g := range report.graphs() {
		picture, err := os.ReadFile(filepath.Join(dir, g.file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(bytes.NewReader(picture)); err != nil {
			t.Errorf("%s: %v", g.file, err)
		}
	}
}

// TestVerdict proves that growth and a lost request are faults.
func TestVerdict(t *testing.T) {
	before := Sample{Goroutines: 20, Descriptors: 10, Memory: 50 << 10}
	for name, after := range map[string]Sample{
		"goroutines":  {Goroutines: 60, Descriptors: 10, Memory: 50 << 10},
		"descriptors": {Goroutines: 20, Descriptors: 20, Memory: 50 << 10},
		"memory":      {Goroutines: 20, Descriptors: 10, Memory: 90 << 10},
	} {
		if (&Report{Before: before, After: after}).Err() == nil {
			t.Errorf("growth of %s was not noticed", name)
		}
	}
	if err := (&Report{Before: before, After: before}).Err(); err != nil {
		t.Error(err)
	}
	lossy := &Report{Before: before, After: before}
	lossy.lose("this")
	if lossy.Err() == nil {
		t.Error("a lost request was not noticed")
	}
}
