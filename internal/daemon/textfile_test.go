package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oauth-proxyd/internal/config"

	"github.com/prometheus/client_golang/prometheus"
)

// counting returns a textfile of one counter.
func counting() (*textfile, prometheus.Counter) {
	r, c := prometheus.NewRegistry(), prometheus.NewCounter(prometheus.CounterOpts{Name: "c", Help: "A counter."})
	r.MustRegister(c)
	return &textfile{gather: r, log: slog.New(slog.DiscardHandler)}, c
}

// wantText fails unless the file contains the text, or, if that is empty, does not exist.
func wantText(t *testing.T, file, want string) {
	t.Helper()
	synctest.Wait()
	text, err := os.ReadFile(file)
	if (want == "") != os.IsNotExist(err) || !strings.Contains(string(text), want) {
		t.Errorf("%s: %q, %v; want %q", filepath.Base(file), text, err, want)
	}
}

func TestTextfileFollowsTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.prom"), filepath.Join(dir, "second.prom")
	synctest.Test(t, func(t *testing.T) {
		f, c := counting()
		f.use(config.Metrics{Textfile: first, TextfileInterval: time.Minute})
		wantText(t, first, "\nc 0\n")
		c.Inc()
		wantText(t, first, "\nc 0\n")
		time.Sleep(time.Minute)
		wantText(t, first, "\nc 1\n")
		f.use(config.Metrics{Textfile: second, TextfileInterval: time.Minute})
		wantText(t, first, "")
		wantText(t, second, "\nc 1\n")
		f.use(config.Metrics{})
		wantText(t, second, "")
		f.use(config.Metrics{Textfile: first, TextfileInterval: time.Minute})
		wantText(t, first, "\nc 1\n")
		c.Inc()
		f.finish()
		wantText(t, first, "\nc 2\n")
	})
}

// TestTextfileChangesDuringAWrite finds out with -race whether the change waits for the write.
func TestTextfileChangesDuringAWrite(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.prom"), filepath.Join(dir, "second.prom")
	synctest.Test(t, func(t *testing.T) {
		f, _ := counting()
		f.use(config.Metrics{Textfile: first, TextfileInterval: time.Minute})
		f.use(config.Metrics{Textfile: second, TextfileInterval: time.Minute})
		wantText(t, first, "")
		wantText(t, second, "\nc 0\n")
		f.finish()
	})
}

func TestTextfileIsLeftToTheSuccessor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.prom")
	synctest.Test(t, func(t *testing.T) {
		f, c := counting()
		f.use(config.Metrics{Textfile: file, TextfileInterval: time.Minute})
		wantText(t, file, "\nc 0\n")
		f.leave()
		c.Inc()
		time.Sleep(time.Hour)
		f.finish()
		wantText(t, file, "\nc 0\n")
	})
}

func TestTextfileThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sub", "x.prom") // in a folder that does not exist
	synctest.Test(t, func(t *testing.T) {
		f, _ := counting()
		f.use(config.Metrics{Textfile: file, TextfileInterval: time.Minute})
		synctest.Wait()
		if text := f.failure.Load(); text == nil || !strings.Contains(*text, file+": no such file or directory; let the service's user write there") {
			t.Error("it was written")
		}
		f.use(config.Metrics{})
		if f.failure.Load() != nil {
			t.Error("no file is asked for, and it fails")
		}
	})
}

// A reload removes a file that is no longer written, and no directory.
func TestTextfileIsNoDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x.prom")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		f, _ := counting()
		f.use(config.Metrics{Textfile: dir, TextfileInterval: time.Minute})
		synctest.Wait()
		if text := f.failure.Load(); text == nil || !strings.Contains(*text, "cannot be written: "+dir+": file exists") {
			t.Errorf("failure %v", text)
		}
		f.use(config.Metrics{})
	})
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}
