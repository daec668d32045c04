package logging_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"oauth-proxyd/internal/logging"
)

func TestJournalRecord(t *testing.T) {
	j := startJournald(t)
	log := start(t, j.config()).Logger().With("request_id", "req_1")
	log.Info("request", "method", "POST", "path", "/v1/a b", "status", 200, "duration", 20*time.Minute+567*time.Microsecond,
		"first_byte", 250*time.Millisecond, "tags", []string{"tag:a,tag:b"}, "note", "two\nlines")
	want := map[string][]string{
		"MESSAGE": {`request request_id=req_1 method=POST path="/v1/a b" status=200 duration_ms=1200000.567 first_byte_ms=250 ` +
			`tags=tag:a,tag:b note="two\\nlines"`},
		"PRIORITY":          {"6"},
		"SYSLOG_IDENTIFIER": {"oauth-proxyd"},
		"REQUEST_ID":        {"req_1"},
		"HTTP_METHOD":       {"POST"},
		"HTTP_PATH":         {"/v1/a b"},
		"HTTP_STATUS":       {"200"},
		"DURATION_MS":       {"1200000.567"},
		"FIRST_BYTE_MS":     {"250"},
		"TS_TAGS":           {"tag:a,tag:b"},
		"NOTE":              {`two\nlines`},
	}
	got := j.receive(t)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s = %q, want %q", name, got[name], want[name])
		}
		delete(got, name)
	}
	if len(got) != 0 {
		t.Errorf("more fields: %q", got)
	}
}

func TestJournalPriority(t *testing.T) {
	tests := []struct {
		level slog.Level
		want  string
	}{
		{slog.LevelDebug - 4, "7"},
		{slog.LevelDebug, "7"},
		{slog.LevelInfo, "6"},
		{slog.LevelInfo + 2, "6"},
		{slog.LevelWarn, "4"},
		{slog.LevelError, "3"},
		{slog.LevelError + 4, "3"},
	}
	for _, tt := range tests {
		t.Run(tt.level.String(), func(t *testing.T) {
			j := startJournald(t)
			cfg := j.config()
			cfg.Level = slog.LevelDebug - 8
			start(t, cfg).Logger().Log(t.Context(), tt.level, "m")
			if got := j.receive(t)["PRIORITY"]; !slices.Equal(got, []string{tt.want}) {
				t.Errorf("PRIORITY = %q, want %s", got, tt.want)
			}
		})
	}
}

func TestJournalFieldNames(t *testing.T) {
	tests := []struct {
		name string
		attr slog.Attr
		want string
	}{
		{"plain", slog.String("outcome", "v"), "OUTCOME"},
		{"user", slog.String("user", "v"), "TS_USER"},
		{"status", slog.Int("status", 200), "HTTP_STATUS"},
		{"a unit that is there already", slog.Duration("wait_ms", 0), "WAIT_MS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := startJournald(t)
			emit(t, start(t, j.config()), "m", tt.attr)
			got := j.receive(t)
			for _, own := range []string{"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"} {
				if len(got[own]) != 1 {
					t.Errorf("%s = %q", own, got[own])
				}
				delete(got, own)
			}
			if names := slices.Collect(maps.Keys(got)); !slices.Equal(names, []string{tt.want}) {
				t.Errorf("fields %q, want %s", names, tt.want)
			}
		})
	}
}

func TestJournalEscapesHostileValues(t *testing.T) {
	for _, s := range hostile() {
		t.Run(fmt.Sprintf("%q", s), func(t *testing.T) {
			j := startJournald(t)
			emit(t, start(t, j.config()), "m"+s, slog.String("path", s))
			got := j.receive(t)
			if !slices.Equal(got["HTTP_PATH"], []string{escaped(s)}) {
				t.Errorf("HTTP_PATH = %q, want %q", got["HTTP_PATH"], escaped(s))
			}
			checkLine(t, "MESSAGE", got["MESSAGE"][0]+"\n")
		})
	}
}

// A record that is too large for a datagram is dropped and counted, and the next one arrives.
func TestJournalLargeRecord(t *testing.T) {
	j := startJournald(t)
	l := start(t, j.config())
	var attrs []slog.Attr
	for i := range 40 {
		attrs = append(attrs, slog.String(fmt.Sprintf("field%d", i), strings.Repeat("x", 20_000)))
	}
	emit(t, l, "large", attrs...)
	waitDropped(t, l, 1)
	emit(t, l, "next", slog.String("long", strings.Repeat("y", 20_000)))
	if got := j.receive(t)["MESSAGE"][0]; got != "log records dropped n=1" {
		t.Errorf("MESSAGE = %.40q, want a warning", got)
	}
	if v := j.receive(t)["LONG"]; len(v) != 1 || len(v[0]) != 16<<10 {
		t.Errorf("LONG: want one value of 16 KiB")
	}
}

func TestJournalComesBack(t *testing.T) {
	j := startJournald(t)
	l := start(t, j.config())
	log := l.Logger()
	log.Info("one")
	j.receive(t)
	j.stop(t)
	j.listen(t)
	log.Info("two") // over a socket that is dead
	if got := j.receive(t)["MESSAGE"][0]; got != "two" {
		t.Errorf("MESSAGE = %q, want two", got)
	}
	j.stop(t)
	log.Info("three")
	log.Info("four")
	waitDropped(t, l, 2)
	j.listen(t)
	log.Info("five")
	if got := j.receive(t); got["MESSAGE"][0] != "log records dropped n=2" || got["PRIORITY"][0] != "4" || got["N"][0] != "2" {
		t.Errorf("got %q, want a warning", got)
	}
	if got := j.receive(t)["MESSAGE"][0]; got != "five" {
		t.Errorf("MESSAGE = %q, want five", got)
	}
	j.stop(t)
	log.Info("six")
	waitDropped(t, l, 3)
	j.listen(t)
	finish(t, l)
	if got := j.receive(t)["MESSAGE"][0]; got != "log records dropped n=1" {
		t.Errorf("at the end: MESSAGE = %q, want a warning", got)
	}
}

// waitDropped polls the counter, because a lost record leaves nothing else.
func waitDropped(t *testing.T, l *logging.Log, n uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for l.Dropped() < n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d dropped, want %d", l.Dropped(), n)
		}
	}
}

// A journal that does not read costs records, not requests.
func TestJournalStuck(t *testing.T) {
	j := startJournald(t)
	l := start(t, j.config())
	const records = 2000 // more than any socket queue holds
	begin := time.Now()
	for range records {
		l.Logger().Info("record")
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("logging took %v", d)
	}
	waitDropped(t, l, 1) // after its second
	read, reported := 0, 0
	for read+reported < records {
		got := j.receive(t)
		if got["MESSAGE"][0] == "record" {
			read++
			continue
		}
		n, err := strconv.Atoi(got["N"][0])
		if err != nil {
			t.Fatal(err)
		}
		reported += n
	}
	if reported == 0 || reported != int(l.Dropped()) {
		t.Errorf("reported of %d dropped, counted %d", reported, l.Dropped())
	}
}

func TestAuto(t *testing.T) {
	j := startJournald(t)
	r, w := pipe(t)
	info, err := w.Stat()
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	own := fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
	tests := []struct {
		name, stream, socket string
		journal              bool
	}{
		{"standard error is the journal", own, j.path, true},
		{"it was, before a redirection", fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1), j.path, false},
		{"not under systemd", "", j.path, false},
		{"garbage", "journal", j.path, false},
		{"no socket to upgrade to", own, j.path + ".none", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("JOURNAL_STREAM", tt.stream)
			l := start(t, logging.Config{Stderr: w, JournalSocket: tt.socket})
			emit(t, l, "hello")
			if tt.journal {
				if got := j.receive(t)["MESSAGE"][0]; got != "hello" {
					t.Errorf("MESSAGE = %q", got)
				}
				return
			}
			if got := firstLine(t, r); !strings.HasPrefix(got, `{"time":`) {
				t.Errorf("standard error got %q, want JSON", got)
			}
		})
	}
}

func firstLine(t *testing.T, r *os.File) string {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func FuzzJournal(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, msg, value string) {
		j := startJournald(t)
		emit(t, start(t, j.config()), msg, slog.String("a", value))
		got := j.receive(t)
		checkLine(t, "MESSAGE", got["MESSAGE"][0]+"\n")
		if len(value) <= 16<<10 && !slices.Equal(got["A"], []string{escaped(value)}) {
			t.Errorf("A = %q, want %q", got["A"], escaped(value))
		}
		if len(got) != 4 {
			t.Errorf("fields %q", got)
		}
	})
}
