package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oauth-proxyd/internal/config"
)

// textfile writes the metrics for node_exporter's textfile collector
// (https://github.com/prometheus/node_exporter#textfile-collector). Only the loop calls use and
// leave, and finishWork calls finish after it. They end the writer's goroutine before they change
// anything.
type textfile struct {
	gather  prometheus.Gatherer
	log     *slog.Logger
	failure atomic.Pointer[string] // why the last write failed, and how to fix it; nil: it succeeded. Any goroutine may read it

	path     string // empty: none is written
	interval time.Duration
	stop     func() // ends the writer, and waits for it
}

// use starts to write the file that the configuration names. A file that it no longer names is
// removed: node_exporter would report its numbers for ever.
func (t *textfile) use(m config.Metrics) {
	if t.path == m.Textfile && t.interval == m.TextfileInterval {
		return // to end the writer may wait for a file system
	}
	t.end()
	if t.path != "" && t.path != m.Textfile {
		// Unlike os.Remove, unlink(2) removes no directory.
		if err := syscall.Unlink(t.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.log.Warn("the old metrics.textfile could not be removed; node_exporter may report its numbers for ever", "file", t.path, "error", err)
		}
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

func (t *textfile) end() {
	if t.path != "" {
		t.stop()
	}
}

// leave ends the writing, and leaves the file to the process that takes over.
func (t *textfile) leave() {
	t.end()
	t.path = ""
}

func (t *textfile) finish() {
	t.end()
	if t.path != "" {
		t.write()
	}
}

// write writes the file, and logs the first of several failures, and their end.
func (t *textfile) write() {
	err := prometheus.WriteToTextfile(t.path, t.gather) // in one step: no reader sees half a file
	var failure *string
	if err != nil {
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			err = fmt.Errorf("%s: %w", t.path, errno) // without the name of a temporary file, which changes each time
		}
		text := fmt.Sprintf("metrics.textfile cannot be written: %v; let the service's user write there, and see ReadWritePaths= of the unit", err)
		failure = &text
	}
	switch before := t.failure.Swap(failure); {
	case failure == nil && before != nil:
		t.log.Info("metrics.textfile is written again", "file", t.path)
	case failure != nil && before == nil:
		t.log.Warn(*failure)
	}
}
