package daemon

import (
	"context"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/logging"
	"oauth-proxyd/internal/systemd"

	"github.com/prometheus/client_golang/prometheus"
)

// Options is what the command line decides. The rest is configuration.
type Options struct {
	// Load reads the configuration, at the start and for each reload. An error about its content is
	// a *config.Error.
	Load func() (*config.Config, error)
	// Version of this program, for /health, metrics and the log.
	Version string
	// LogLevel and LogFormat hold until the configuration is read.
	LogLevel  slog.Level
	LogFormat logging.Format
	// AdminSocket is the path of the admin socket; empty: none.
	AdminSocket string
	// StateDir is the directory of what outlives a process: how the last one ended, and the key of
	// log.identity = "hashed". Empty: nothing does.
	StateDir string
	// Ready, if not nil, is called once when requests are served, with the addresses they are
	// served on.
	Ready func([]net.Addr)
}

const (
	// RefusalDelay is waited before an exit that a new start would only repeat, if systemd holds
	// the sockets: it starts the daemon again for a client that waits.
	RefusalDelay = 2 * time.Second
	// finishTimeout bounds the wait for reads and writes of files under way.
	finishTimeout = time.Second
	// flushTimeout bounds the writing of the last log records.
	flushTimeout = time.Second
)

// daemon is the process, put together from its parts.
type daemon struct {
	// Safe for all:
	options   Options
	log       *slog.Logger
	logs      *logging.Log
	started   time.Time
	sockets   sockets
	names     names
	restarted string               // how the previous process ended; empty: as it should
	registry  *prometheus.Registry // without the metrics of Go and of the process
	metrics   *exposition          // with them
	probes    probes
	*mailbox
	views

	// The loop's own:
	signals    chan os.Signal
	pending    []lifecycle.Event
	notifier   *systemd.Notifier
	tailnet    follower
	reload     reloads
	upgrade    upgrade
	watchdog   watchdog
	textfile   *textfile
	admin      *admin.Server
	inCharge   bool // of what there is one of for a service: the admin socket and the textfile
	drainUntil time.Time
	nothingCut bool // when the drain was cut short
}

// Run is the daemon from its start to its exit code. It takes over the sockets and the environment
// that systemd passed, and the process's signals.
func Run(options Options) (exitCode int) {
	logs, err := logging.New(logging.Config{Level: options.LogLevel, Format: options.LogFormat})
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		return lifecycle.ExitConfig
	}
	stdlog.SetFlags(0)
	stdlog.SetOutput(inbound.LibraryLog(logs.Logger()))
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
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
	d.logEnd(code)
	d.delayRefusal(code)
	return code
}

func newDaemon(options Options, logs *logging.Log) (*daemon, error) {
	d := &daemon{
		options: options, logs: logs, log: logs.Logger(), started: time.Now(),
		names: newNames(options.StateDir, logs.Logger()), registry: prometheus.NewRegistry(),
		mailbox: newMailbox(), signals: make(chan os.Signal, 8), notifier: systemd.NewNotifier(),
	}
	d.latest.Store(&view{})
	var err error
	if d.sockets.Inheritance, err = systemd.Inherit(); err != nil {
		return nil, fmt.Errorf("taking over the sockets: %w", err)
	}
	d.upgrade.predecessor, d.upgrade.alone = d.sockets.Predecessor, make(chan struct{})
	if d.upgrade.predecessor == nil {
		close(d.upgrade.alone)
	}
	if d.upgrade.predecessor == nil {
		d.restarted = d.lastEnding()
	}
	d.notifier.Mute(d.upgrade.predecessor != nil)
	interval, err := systemd.WatchdogInterval()
	if err != nil {
		return nil, fmt.Errorf("reading the watchdog interval: %w", err)
	}
	d.watchdog = newWatchdog(interval)
	d.textfile = &textfile{gather: d.registry, log: d.log}
	d.registerMetrics(d.registry)
	d.metrics = newExposition(prometheus.Gatherers{d.registry, processMetrics()}, d.log)
	return d, nil
}

// lastEnding says how the previous process ended, by what ExecStopPost= of the unit left in the
// state directory; empty: as it should, or not known.
func (d *daemon) lastEnding() string {
	file := filepath.Join(d.options.StateDir, "last-end")
	text, err := os.ReadFile(file)
	if err != nil || d.options.StateDir == "" {
		return ""
	}
	_ = os.Remove(file) // it is about that process only
	result, status, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	ending := systemd.Ending(result, status)
	if ending != "" {
		d.log.Warn("restarted: the previous process ended: " + ending)
	}
	return ending
}

// close ends in reverse order what was begun, once the loop has ended.
func (d *daemon) close() {
	close(d.done)
	d.reload.respondAll(admin.ReloadOutcome{Error: stoppingText})
	d.upgrade.respond(admin.UpgradeOutcome{Error: stoppingText})
	if d.admin != nil {
		d.admin.Close()
		d.admin.Remove()
	}
	d.cancel()
	d.finishWork()
	if p := d.view().proxy; p != nil {
		p.Close()
	}
}

// finishWork waits for what works for the loop, then writes the last metrics. Both wait for files;
// a file system that hangs must not keep the process.
func (d *daemon) finishWork() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.work.Wait()
		d.textfile.finish()
	}()
	select {
	case <-ended:
	case <-time.After(finishTimeout):
		d.log.Warn("timed out waiting for file I/O; exiting anyway")
	}
}

// delayRefusal keeps systemd from starting a daemon several times a second that exits each time for
// the same reason. A signal ends the wait.
func (d *daemon) delayRefusal(code int) {
	refused := code == lifecycle.ExitUnavailable || code == lifecycle.ExitNoPerm || code == lifecycle.ExitConfig
	probed := d.upgrade.predecessor != nil && !d.inCharge
	if !refused || len(d.sockets.Listeners) == 0 || probed {
		return
	}
	select {
	case <-time.After(RefusalDelay):
	case <-d.signals:
	}
}
