package logging_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
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

// What is written in one call counts until the call has ended.
func TestCloseCountsWhatIsBeingWritten(t *testing.T) {
	r, w := pipe(t)
	_ = w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := w.Write(make([]byte, 1<<20)); err == nil {
		t.Fatalf("the pipe took %d bytes", n)
	}
	l := start(t, logging.Config{Format: logging.FormatJSON, Stderr: w, Queue: 2})
	taken := uint64(0)
	for n := uint64(1); taken <= 2; n++ { // until the goroutine has one that the queue has not
		l.Logger().Info("record")
		taken = n - l.Dropped()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want := fmt.Sprintf(" %d left: ", taken)
	late := time.Now().Add(10 * time.Second)
	for err := l.Close(ctx); !strings.Contains(err.Error(), want); err = l.Close(ctx) { // one may be on its way
		if time.Now().After(late) {
			t.Fatalf("Close() = %v, want%s", err, want)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends as the pipe is closed
	finish(t, l)
}

// Losses are told of by a warning that itself got through.
func TestLossesAreToldWhenOneWriteFailsAfterTheOther(t *testing.T) {
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
func TestSetFormatBetweenRecordsThatAreWrittenTogether(t *testing.T) {
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
