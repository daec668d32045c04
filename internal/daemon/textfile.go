package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oauth-proxyd/internal/config"
)

// textfile writes the metrics for node_exporter's textfile collector
// (https://github.com/prometheus/node_exporter#textfile-collector). Only the loop calls use, leave
// and finish, which end the writer's goroutine before they change anything.
type textfile struct {
	gather  prometheus.Gatherer
	log     *slog.Logger
	failure atomic.Pointer[string] // why the last write failed, and how to fix it; nil: it succeeded. Any goroutine may read it

	path     string // empty: none is written
	interval time.Duration
	written  bool   // at least once
	stop     func() // ends the writer, and waits for it
}

// use starts to write the file that the configuration names, every interval from now on. A file
// that it no longer names is removed: node_exporter would report its numbers for ever.
func (t *textfile) use(m config.Metrics) {
	if t.path == m.Textfile && t.interval == m.TextfileInterval {
		return
	}
	t.end()
	if t.written && t.path != m.Textfile {
		if err := os.Remove(t.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.log.Warn("the old metrics.textfile could not be removed; remove it, or node_exporter keeps reporting it", "file", t.path, "error", err)
		}
		t.written = false
	}
	t.path, t.interval = m.Textfile, m.TextfileInterval
	t.failure.Store(nil)
	if t.path != "" {
		t.start()
	}
}

func (t *textfile) start() {
	ctx, cancel := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	t.stop = func() {
		cancel()
		writer.Wait()
	}
	writer.Go(func() {
		due := time.Tick(t.interval)
		for ctx.Err() == nil {
			t.write()
			select {
			case <-due:
			case <-ctx.Done():
			}
		}
	})
}

// end ends the writer, if it runs.
func (t *textfile) end() {
	if t.path != "" {
		t.stop()
	}
}

// leave ends the writing, and leaves the file to the process that takes over.
func (t *textfile) leave() {
	t.end()
	t.path, t.written = "", false
}

// finish writes the file for the last time.
func (t *textfile) finish() {
	t.end()
	if t.path != "" {
		t.write()
	}
}

// write writes the file, and logs the first of several failures, and their end.
func (t *textfile) write() {
	err := prometheus.WriteToTextfile(t.path, t.gather) // in one step: no reader sees half a file
	t.written = t.written || err == nil
	var failure *string
	if err != nil {
		text := fmt.Sprintf("metrics.textfile cannot be written: %s: %v; %s", t.path, cause(err), t.fix(err))
		failure = &text
	}
	switch before := t.failure.Swap(failure); {
	case failure == nil && before != nil:
		t.log.Info("metrics.textfile is written again", "file", t.path)
	case failure != nil && before == nil:
		t.log.Warn(*failure)
	}
}

// cause returns err without the name of the temporary file.
func cause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

// fix says how to fix a file that cannot be written.
func (t *textfile) fix(err error) string {
	dir := filepath.Dir(t.path)
	switch {
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrNotExist): // in the sandbox, a new directory is read-only
		return "create the directory " + dir + ", let the service's user write there, name it in ReadWritePaths= of the unit, and run `systemctl restart oauth-proxyd`"
	case errors.Is(err, fs.ErrPermission):
		return "let the user of the service write in " + dir
	}
	return "see the directory " + dir
}
