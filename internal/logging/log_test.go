package logging_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/logging"
)

// asChild makes the test binary log to a standard error that nobody reads any more.
const asChild = "OAUTH_PROXYD_TEST_CHILD"

func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

func TestLevel(t *testing.T) {
	out := capture(t, "text", func(l *logging.Log) {
		log := l.Logger().With("k", "v")
		log.Debug("one")
		log.Info("two")
		l.SetLevel(slog.LevelDebug)
		log.Debug("three")
		l.SetLevel(slog.LevelError)
		log.Warn("four")
		log.Error("five")
	})
	want := []string{"INF two", "DBG three", "ERR five"}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(want) {
		t.Fatalf("got %q, want %q", lines, want)
	}
	for i, line := range lines {
		if !strings.Contains(line, want[i]+" k=v") {
			t.Errorf("line %q, want %q", line, want[i])
		}
	}
}

func TestSetFormat(t *testing.T) {
	r, w := pipe(t)
	j := startJournald(t)
	l := start(t, logging.Config{Format: "json", Stderr: w, JournalSocket: j.path})
	log := l.Logger().With("k", 1)
	lines := bufio.NewScanner(r)
	next := func() string {
		lines.Scan()
		return lines.Text()
	}
	log.Info("one")
	if got := next(); !strings.HasSuffix(got, `"msg":"one","k":1}`) {
		t.Errorf("JSON: %q", got)
	}
	if err := l.SetFormat("journal"); err != nil {
		t.Fatal(err)
	}
	log.Info("two")
	if got := j.receive(t)["MESSAGE"]; got[0] != "two k=1" {
		t.Errorf("journal: %q", got)
	}
	if err := l.SetFormat("text"); err != nil {
		t.Fatal(err)
	}
	log.Info("three")
	if got := next(); !strings.HasSuffix(got, "INF three k=1") {
		t.Errorf("text: %q", got)
	}
	if err := os.Remove(j.path); err != nil {
		t.Fatal(err)
	}
	if err := l.SetFormat("journal"); err == nil {
		t.Error("the format is a journal that is gone")
	}
	log.Info("four")
	if got := next(); !strings.HasSuffix(got, "INF four k=1") {
		t.Errorf("the format did not stay: %q", got)
	}
}

// A format that is no longer used closes its socket.
func TestSetFormatLeavesNothingOpen(t *testing.T) {
	j := startJournald(t)
	_, w := pipe(t)
	l := start(t, logging.Config{Format: "json", Stderr: w, JournalSocket: j.path})
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it closes what was forgotten
	before := descriptors(t)
	for range 50 {
		for _, format := range []string{"journal", "json"} {
			if err := l.SetFormat(format); err != nil {
				t.Fatal(err)
			}
			l.Logger().Info("record")
			if format == "journal" {
				j.receive(t)
			}
		}
	}
	finish(t, l)
	if after := descriptors(t); after > before+5 {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func TestNewRefusesAMissingJournal(t *testing.T) {
	_, err := logging.New(logging.Config{Format: "journal", JournalSocket: t.TempDir() + "/none"})
	const want = "the journal cannot be reached, use the format auto, text or json"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Every record is either read or reported as dropped, and no caller waits for a reader that has
// stopped.
func TestFullQueue(t *testing.T) {
	const records, loggers = 2500, 4 // more than the queue holds
	r, w := pipe(t)
	l := start(t, logging.Config{Format: "json", Stderr: w})
	ballast := strings.Repeat("x", 400)
	var wg sync.WaitGroup
	for range loggers {
		wg.Go(func() {
			for range records {
				l.Logger().Info("record", "ballast", ballast)
			}
		})
	}
	wg.Wait() // would wait for ever: the pipe holds 64 KiB
	if l.Dropped() == 0 {
		t.Error("nothing dropped")
	}
	var read, reported uint64
	wg.Go(func() { read, reported = count(t, r, records*loggers) })
	finish(t, l)
	wg.Wait()
	if reported != l.Dropped() || read+reported != records*loggers {
		t.Errorf("read %d, reported %d as dropped, counted %d; want %d together", read, reported, l.Dropped(), records*loggers)
	}
}

// count reads until all records are accounted for.
func count(t *testing.T, r io.Reader, all uint64) (read, reported uint64) {
	lines := json.NewDecoder(r)
	for read+reported < all {
		var line struct {
			Msg, Level string
			N          uint64
		}
		if err := lines.Decode(&line); err != nil {
			t.Error(err)
			return read, reported
		}
		if line.Msg != "log records dropped" {
			read++
			continue
		}
		reported += line.N
		if line.Level != "WARN" || line.N == 0 {
			t.Errorf("warning %+v", line)
		}
	}
	return read, reported
}

func TestCloseWritesWhatIsQueued(t *testing.T) {
	out := capture(t, "text", func(l *logging.Log) {
		for range 1000 {
			l.Logger().Info("record")
		}
	})
	if got := strings.Count(out, "INF record\n"); got != 1000 {
		t.Errorf("%d of 1000 records", got)
	}
}

func TestCloseTimesOut(t *testing.T) {
	r, w := pipe(t)
	l := start(t, logging.Config{Format: "json", Stderr: w})
	ballast := strings.Repeat("x", 10_000)
	for range 100 { // 1 MB into a pipe of 64 KiB
		l.Logger().Info("record", "ballast", ballast)
	}
	gone := errors.New("no time left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	err := l.Close(ctx)
	if !errors.Is(err, gone) || !strings.Contains(err.Error(), " left: ") {
		t.Errorf("Close() = %v", err)
	}
	l.Logger().Info("late") // must not hang either
	if l.Dropped() != 1 {
		t.Errorf("%d dropped, want the late one", l.Dropped())
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends as the pipe is closed
	finish(t, l)
}

func TestAfterClose(t *testing.T) {
	out := capture(t, "text", func(l *logging.Log) {
		finish(t, l)
		finish(t, l)
		l.Logger().Error("late")
		if l.Dropped() != 1 {
			t.Errorf("%d dropped, want the late one", l.Dropped())
		}
	})
	if out != "" {
		t.Errorf("got %q", out)
	}
}

// Every record is either written or counted, whenever Close is called.
func TestCloseWhileLogging(t *testing.T) {
	const records, loggers = 200, 4
	var dropped uint64
	out := capture(t, "text", func(l *logging.Log) {
		var wg sync.WaitGroup
		for range loggers {
			wg.Go(func() {
				for range records {
					l.Logger().Info("record")
				}
			})
		}
		finish(t, l)
		wg.Wait()
		dropped = l.Dropped()
	})
	if got := uint64(strings.Count(out, "INF record\n")); got+dropped != records*loggers {
		t.Errorf("%d written and %d dropped of %d", got, dropped, records*loggers)
	}
}

// If the reader of the log ends, the log and the process continue.
func TestBrokenPipe(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w := pipe(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), asChild+"=1", "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = w
	out, err := cmd.Output()
	if err != nil || strings.TrimSpace(string(out)) != "2 <nil>" {
		t.Errorf("child said %q, %v; want 2 dropped records", out, err)
	}
}

func logIntoNothing() (uint64, error) {
	signal.Ignore(syscall.SIGPIPE) // as the daemon does
	l, err := logging.New(logging.Config{Format: "json"})
	if err != nil {
		return 0, err
	}
	l.Logger().Info("one")
	l.Logger().Info("two")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = l.Close(ctx)
	return l.Dropped(), err
}

// A record does not wait for the next one.
func TestEachRecordIsWrittenAtOnce(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
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

// A warning of dropped records is repeated until it is written.
func TestWarningOfDropsIsRepeated(t *testing.T) {
	j := startJournald(t)
	r, w := pipe(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	l := start(t, logging.Config{Format: "json", Stderr: w, JournalSocket: j.path})
	for n := range uint64(3) {
		l.Logger().Info("lost")
		waitDropped(t, l, n+1)
	}
	if l.Missing() != 3 {
		t.Errorf("%d missing, want 3", l.Missing())
	}
	if err := l.SetFormat("journal"); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("written")
	for _, want := range []string{"log records dropped n=3", "written"} {
		if got := j.receive(t)["MESSAGE"][0]; got != want {
			t.Errorf("MESSAGE = %q, want %q", got, want)
		}
	}
	if l.Missing() != 0 {
		t.Errorf("%d missing after the warning", l.Missing())
	}
}

// A change of the format takes effect between two records, and loses none.
func TestSetFormatWithinABatch(t *testing.T) {
	const records = 2000
	formats := []string{"text", "json"}
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
		want := fmt.Sprintf(`"msg":"record","number":%d}`, i)
		if i > 0 && formats[(i-1)/5%2] == "text" {
			want = fmt.Sprintf("INF record number=%d", i)
		}
		if !strings.HasSuffix(line, want) {
			t.Fatalf("line %d is %q, want an end of %q", i, line, want)
		}
	}
}

// BenchmarkLogger measures the cost of a record in each format, without that of its reader.
func BenchmarkLogger(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	for _, format := range []string{"journal", "json", "text"} {
		b.Run(format, func(b *testing.B) {
			j := startJournald(b)
			go func() { _, _ = io.Copy(io.Discard, j.conn) }()
			log := start(b, logging.Config{Format: format, Stderr: null, JournalSocket: j.path}).Logger()
			b.ReportAllocs()
			for b.Loop() {
				log.LogAttrs(b.Context(), slog.LevelInfo, "request", slog.String("request_id", "req_1"), slog.String("method", "POST"),
					slog.String("path", "/v1/messages"), slog.Int("status", 200), slog.Duration("duration", time.Second),
					slog.String("node", "ai"), slog.String("outcome", "ok"))
			}
		})
	}
}
