package logging_test

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/logging"
)

// A record waits for no other one.
func TestEachRecordIsWrittenAtOnce(t *testing.T) {
	for _, format := range []logging.Format{logging.FormatText, logging.FormatJSON} {
		t.Run(string(format), func(t *testing.T) {
			r, w := pipe(t)
			l := start(t, logging.Config{Format: format, Stderr: w})
			lines := bufio.NewScanner(r)
			for _, msg := range []string{"one", "two"} {
				l.Logger().Info(msg)
				_ = r.SetReadDeadline(time.Now().Add(10 * time.Second))
				if !lines.Scan() || !strings.Contains(lines.Text(), msg) {
					t.Fatalf("read %q, %v", lines.Text(), lines.Err())
				}
			}
		})
	}
}

// Drops are reported by a warning that itself got through.
func TestWarningOfDropsIsRepeated(t *testing.T) {
	j := startJournald(t)
	r, w := pipe(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	l := start(t, logging.Config{Format: logging.FormatJSON, Stderr: w, JournalSocket: j.path})
	for n := range uint64(3) {
		l.Logger().Info("lost")
		waitDropped(t, l, n+1)
	}
	if err := l.SetFormat(logging.FormatJournal); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("written")
	for _, want := range []string{"log records dropped n=3", "written"} {
		if got := j.receive(t)["MESSAGE"][0]; got != want {
			t.Errorf("MESSAGE = %q, want %q", got, want)
		}
	}
}

// A change of the form takes effect between two records, and loses none.
func TestSetFormatWithinABatch(t *testing.T) {
	const records = 2000
	formats := []logging.Format{logging.FormatText, logging.FormatJSON}
	out := capture(t, formats[1], func(l *logging.Log) {
		for i := range records {
			l.Logger().Info("record", "number", i)
			if err := l.SetFormat(formats[i/5%2]); err != nil {
				t.Error(err)
			}
		}
	})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != records {
		t.Fatalf("%d lines of %d records", len(lines), records)
	}
	for i, line := range lines {
		if !strings.HasSuffix(line, fmt.Sprintf("INF record number=%d", i)) && !strings.HasSuffix(line, fmt.Sprintf(`"msg":"record","number":%d}`, i)) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}
