package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"oauth-proxyd/internal/config"
)

// textfile writes the metrics for node_exporter's textfile collector
// (https://github.com/prometheus/node_exporter#textfile-collector).
type textfile struct {
	path     string
	interval time.Duration
	gather   prometheus.Gatherer
	ok       prometheus.Gauge
	log      *slog.Logger
	failing  bool
	written  bool // at least once; read after stopped
	stop     context.CancelFunc
	stopped  chan struct{}
}

// useTextfile writes where the configuration says from now on. A file that it no longer
// names is removed: node_exporter would report its numbers for ever.
func (d *daemon) useTextfile(m config.Metrics) {
	if t := d.textfile; t != nil {
		if t.path == m.Textfile && t.interval == m.TextfileInterval {
			return
		}
		d.stopTextfile()
		if t.path != m.Textfile {
			t.remove()
		}
		d.metrics.textfileOK.Set(1)
	}
	if m.Textfile == "" {
		return
	}
	ctx, stop := context.WithCancel(d.ctx)
	t := &textfile{
		path: m.Textfile, interval: m.TextfileInterval, gather: d.registry, ok: d.metrics.textfileOK,
		log: d.log, stop: stop, stopped: make(chan struct{}),
	}
	d.textfile = t
	d.work.Go(func() { t.run(ctx) })
}

// stopTextfile leaves the file as it is, for the process that takes over.
func (d *daemon) stopTextfile() {
	if t := d.textfile; t != nil {
		t.stop()
		<-t.stopped
		d.textfile = nil
	}
}

// remove deletes the file, if it is one that this process wrote.
func (t *textfile) remove() {
	if !t.written {
		return
	}
	if err := os.Remove(t.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.log.Warn("the former metrics.textfile was not removed; remove it, or node_exporter goes on to report it", "file", t.path, "error", err)
	}
}

func (t *textfile) run(ctx context.Context) {
	defer close(t.stopped)
	ticker := time.NewTicker(t.interval)
	defer ticker.Stop()
	for {
		t.write()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// write makes the file anew. A failure is logged when it is new, and so is its end.
func (t *textfile) write() {
	err := t.replace()
	switch {
	case err == nil && t.failing:
		t.log.Info("metrics.textfile is written again", "file", t.path)
	case err != nil && !t.failing:
		t.log.Warn("metrics.textfile was not written", "file", t.path, "error", err)
	}
	t.failing, t.written = err != nil, t.written || err == nil
	t.ok.Set(truth(err == nil))
}

// replace writes beside the file and renames, so that no reader sees half of one.
// The collector reads only what ends in .prom, and runs as another user.
func (t *textfile) replace() error {
	f, err := os.CreateTemp(filepath.Dir(t.path), "."+filepath.Base(t.path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone already if all went well
	if err := errors.Join(encode(f, t.gather, expfmt.FmtText)); err != nil {
		_ = f.Close()
		return fmt.Errorf("gathering and writing metrics: %w", err)
	}
	if err := f.Chmod(0o644); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), t.path)
}
