package daemon

import (
	"context"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/kernel"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/logging"
	"oauth-proxyd/internal/systemd"
	"oauth-proxyd/internal/tailnet"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are what the command line decides. The rest is configuration.
type Options struct {
	// Load reads the configuration, at the start and for each reload. An error in its content is a
	// *config.Error.
	Load func() (*config.Config, error)
	// CheckCommand is the command line that checks what Load reads.
	CheckCommand string
	// Version is the version of this program, for /health, metrics and the log.
	Version string
	// Log applies until the configuration is read.
	Log config.Log
	// AdminSocket is the path of the admin socket; empty: there is none.
	AdminSocket string
	// StateDir is the directory for what outlives a process: how the previous one ended, and the
	// key of log.identity = "hashed". Empty: nothing outlives it.
	StateDir string
	// Ready, if not nil, is called once, with the first address on which requests are served.
	Ready func(net.Addr)
}

const (
	// RefusalDelay delays an exit whose reason a restart does not change. Where systemd holds the
	// sockets, a waiting client would make it start the daemon again at once.
	RefusalDelay = 2 * time.Second
	// finishTimeout bounds each wait for files at the end, of the daemon and of the log.
	finishTimeout = time.Second
)

// daemon is the process: its parts, and what they share.
type daemon struct {
	// Safe for every goroutine:
	options   Options
	log       *slog.Logger
	logs      *logging.Log
	started   time.Time
	maxFiles  int // how many file descriptors the process may have
	sockets   sockets
	namingOf  func(identity string) naming // by log.identity
	service   systemd.Service              // that runs this process
	restarted string                       // how the previous process ended; empty: normally
	registry  *prometheus.Registry         // all metrics but those of Go and of the process
	metrics   *exposition                  // all metrics
	probes    probes
	latest    atomic.Pointer[view]
	calls     chan func() // from other goroutines, for the loop
	work      sync.WaitGroup
	ctx       context.Context // of the work for the loop; canceled when that has ended
	cancel    context.CancelFunc

	// For the loop only:
	role      role
	signals   chan os.Signal
	events    []lifecycle.Event // that were raised
	notifier  *systemd.Notifier
	tailnet   *tailnet.Client
	following bool          // tailnet reports every change
	keyNotice time.Duration // of tailnet, when it was last connected
	reload    reloads
	upgrade   upgrade
	watchdog  watchdog
	textfile  *textfile
	admin     *admin.Server
}

// Run runs the daemon and returns the exit code of the process. It takes over the sockets and the
// variables that systemd passed, and the signals of the process.
func Run(options Options) (exitCode int) {
	signal.Ignore(syscall.SIGPIPE) // it would end the process after the reader of its log
	logs, err := logging.New(logging.Config{Level: options.Log.Level, Format: options.Log.Format})
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		return lifecycle.ExitConfig
	}
	stdlog.SetOutput(io.Discard) // net/http's client would log bytes of a response
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
		defer cancel()
		_ = logs.Close(ctx) // there is nowhere left to say so
	}()
	d, err := newDaemon(options, logs)
	if err != nil {
		logs.Logger().Error("start failed", "error", err)
		return lifecycle.ExitInternal
	}
	signal.Notify(d.signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(d.signals)
	code := d.loop()
	d.close()
	d.logEnd()
	d.delayRefusal(code)
	return code
}

func newDaemon(options Options, logs *logging.Log) (*daemon, error) {
	d := &daemon{
		options: options, logs: logs, log: logs.Logger(), started: time.Now(), maxFiles: kernel.MaxFiles(),
		namingOf: newNaming(options.StateDir, logs.Logger()), registry: prometheus.NewRegistry(),
		calls: make(chan func(), 64), signals: make(chan os.Signal, 8), notifier: systemd.NewNotifier(),
	}
	d.service = d.notifier.OwnService()
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.latest.Store(&view{})
	var err error
	if d.sockets.Inheritance, err = systemd.Inherit(); err != nil {
		return nil, fmt.Errorf("taking over the sockets: %w", err)
	}
	d.upgrade.predecessorGone = make(chan struct{})
	if d.sockets.Predecessor != nil {
		d.role = candidate
	} else {
		close(d.upgrade.predecessorGone)
		d.restarted = d.lastEnding()
	}
	interval, err := systemd.WatchdogInterval()
	if err != nil {
		return nil, fmt.Errorf("reading the watchdog interval: %w", err)
	}
	d.watchdog.tick = time.Tick(interval / 2) // nil if that is 0
	d.textfile = &textfile{gather: d.registry, log: d.log}
	d.registerMetrics(d.registry)
	d.metrics = newExposition(prometheus.Gatherers{d.registry, processMetrics()}, d.log)
	return d, nil
}

// lastEnding says how the previous process ended, from what ExecStopPost= of the unit wrote to the
// state directory. It is empty if the process ended normally, or if nothing is known.
func (d *daemon) lastEnding() string {
	if d.options.StateDir == "" {
		return ""
	}
	ending := systemd.Ending(systemd.LastEnd(filepath.Join(d.options.StateDir, "last-end")))
	if ending != "" {
		d.log.Warn("restarted: the previous process ended: " + ending)
	}
	return ending
}

// forgetEnding removes what is about the previous process only. Until a start succeeds, doctor
// reads it.
func (d *daemon) forgetEnding() {
	if d.options.StateDir != "" {
		_ = os.Remove(filepath.Join(d.options.StateDir, "last-end"))
	}
}

// close ends the parts of the daemon in reverse order, after the loop.
func (d *daemon) close() {
	d.cancel()
	if d.admin != nil {
		d.admin.Close()
		d.admin.Remove()
	}
	d.finishWork()
	if p := d.view().proxy; p != nil {
		p.Close()
	}
}

// finishWork waits for the goroutines that work for the loop, then writes the last metrics. Both
// use files, and a file system that hangs must not keep the process.
func (d *daemon) finishWork() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.work.Wait()
		if d.role == inCharge {
			d.textfile.finish()
		}
	}()
	select {
	case <-ended:
	case <-time.After(finishTimeout):
		d.log.Warn("timed out waiting for file I/O; exiting anyway")
	}
}

// delayRefusal keeps systemd from starting the daemon several times a second if it exits each time
// for the same reason. A signal ends the wait, and a successor that was refused does not wait.
func (d *daemon) delayRefusal(code int) {
	refused := code == lifecycle.ExitUnavailable || code == lifecycle.ExitNoPerm || code == lifecycle.ExitConfig
	if !refused || len(d.sockets.Listeners) == 0 || d.role == candidate {
		return
	}
	select {
	case <-time.After(RefusalDelay):
	case <-d.signals:
	}
}
