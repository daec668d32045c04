package daemon

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/handover"
	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/logging"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/systemd"
	"oauth-proxyd/internal/tailnet"
)

// Options is what the command line decides. The rest is configuration.
type Options struct {
	// Load reads the configuration, at the start and for each reload. An error
	// about its content is a *config.Error.
	Load func() (*config.Config, error)
	// Version of this program, for /health, metrics and the log.
	Version string
	// LogLevel and LogFormat hold until the configuration is read.
	LogLevel  slog.Level
	LogFormat logging.Format
	// AdminSocket is the path of the admin socket; empty: none.
	AdminSocket string
	// NameKeyFile is the file with the key of log.identity = "hashed", made at the
	// first use; empty: each process has a key of its own.
	NameKeyFile string
	// Ready, if not nil, is called once when requests are served, with the
	// addresses they are served on.
	Ready func([]net.Addr)
}

// refusalDelay is waited before an exit that a new start would only repeat, if
// systemd holds the sockets: it starts us again for a client that waits.
const refusalDelay = 2 * time.Second

// finishTimeout bounds the wait for reads and writes of files under way.
const finishTimeout = time.Second

// flushTimeout bounds the writing of the last log records.
const flushTimeout = time.Second

// daemon is the process. The loop's goroutine owns all that is not marked.
type daemon struct {
	options  Options
	log      *slog.Logger // safe for all
	logs     *logging.Log // safe for all
	notifier *systemd.Notifier
	started  time.Time

	state    lifecycle.State
	messages chan message // to the loop
	pending  []lifecycle.Event
	done     chan struct{}      // closed when the loop has ended
	ctx      context.Context    // of everything that works for the loop
	cancel   context.CancelFunc // of ctx
	work     sync.WaitGroup     // of the same

	view     view                 // safe for all
	nameKey  func() []byte        // of log.identity; safe for all
	registry *prometheus.Registry // without those of Go and of the process
	shown    *exposition          // of both
	metrics  *daemonMetrics
	textfile *textfile

	inherited  []inbound.Listener // systemd's, or those of the process before
	socketUnit string             // that should have passed a socket and did not; safe for all
	hasOthers  bool               // sockets of other units; safe for all
	listeners  []inbound.Listener
	proxy      *proxy.Proxy
	server     *inbound.Server
	tailnet    *tailnet.Client
	following  bool
	keyNotice  time.Duration // the last of tailnet.Report
	drainUntil time.Time

	loaded        *loaded // by the LoadConfig under way, to be applied or dropped
	loadErr       error
	reloadWaiters []chan<- admin.ReloadOutcome // for the next LoadConfig
	reloadCurrent []chan<- admin.ReloadOutcome // for the one under way

	predecessor    *handover.Predecessor // who started us to take over; nil: nobody did
	reported       bool                  // to the predecessor, that we serve
	owner          bool                  // of the admin socket and the textfile
	successor      *handover.Successor   // that serves, but is not in charge yet
	upgradeWaiters []chan<- admin.UpgradeOutcome
	stopUpgrade    context.CancelFunc // while a successor is brought up
	stopHandover   context.CancelFunc

	watchdog watchdog
	admin    *admin.Server
	probes   probes // safe for all
}

// Run is the daemon from its start to its exit code. It takes over the sockets and
// the environment that systemd passed, and the process's signals.
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
	stops, ignore := stopSignals() // before the loop, which is deaf at its end
	defer ignore()
	code := d.loop()
	d.close()
	d.lastWords(code)
	d.delayRefusal(code, stops)
	return code
}

func newDaemon(options Options, logs *logging.Log) (*daemon, error) {
	d := &daemon{
		options: options, logs: logs, log: logs.Logger(), started: time.Now(),
		notifier: systemd.NewNotifier(),
		messages: make(chan message, 64), done: make(chan struct{}),
		registry: prometheus.NewRegistry(),
	}
	d.nameKey = sync.OnceValue(d.loadNameKey)
	d.shown = newExposition(prometheus.Gatherers{d.registry, processMetrics()}, d.log)
	d.ctx, d.cancel = context.WithCancel(context.Background())
	err := d.inherit()
	if err != nil {
		return nil, err
	}
	if d.metrics, err = newDaemonMetrics(d); err != nil {
		return nil, err
	}
	interval, err := systemd.WatchdogInterval()
	if err != nil {
		return nil, fmt.Errorf("reading the watchdog interval: %w", err)
	}
	d.watchdog = newWatchdog(interval)
	return d, nil
}

// inherit takes over the sockets of the process that serves, if that started us, or
// those of systemd.
func (d *daemon) inherit() error {
	p, err := handover.Inherit()
	if err != nil {
		return fmt.Errorf("succeeding another process: %w", err)
	}
	if p != nil {
		d.predecessor = p
		d.notifier.Mute(true)
		for _, l := range p.Listeners {
			d.inherited = append(d.inherited, inbound.Listener(l))
		}
		d.noteSocketUnit(systemd.SocketUnit(nil))
		return nil
	}
	sockets, err := systemd.Listeners()
	if err != nil {
		return fmt.Errorf("taking over systemd's sockets: %w", err)
	}
	for _, s := range sockets {
		d.inherited = append(d.inherited, inbound.Listener(s))
	}
	d.noteSocketUnit(systemd.SocketUnit(sockets))
	return nil
}

// close ends in reverse order what was begun, once the loop has ended.
func (d *daemon) close() {
	close(d.done)
	d.answerReloads(admin.ReloadOutcome{Error: stoppingText})
	d.answerUpgrades(admin.UpgradeOutcome{Error: stoppingText})
	if d.admin != nil {
		d.admin.Close()
		_ = os.Remove(d.options.AdminSocket) // nobody answers there any more
	}
	d.cancel()
	d.finishWork()
	if d.proxy != nil {
		d.proxy.Close()
	}
}

// finishWork waits for what works for the loop, then writes the last metrics. Both
// wait for files; one that gives no answer must not keep the process.
func (d *daemon) finishWork() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.work.Wait()
		if d.textfile != nil {
			d.textfile.write()
		}
	}()
	select {
	case <-ended:
	case <-time.After(finishTimeout):
		d.log.Warn("a file gave no answer; leaving without it")
	}
}

// delayRefusal keeps systemd from starting a daemon several times a second that
// leaves each time for the same reason. A signal that asks to stop ends the wait; one
// that the loop heard has led to another code.
func (d *daemon) delayRefusal(code int, stops <-chan os.Signal) {
	refused := code == lifecycle.ExitUnavailable || code == lifecycle.ExitNoPerm || code == lifecycle.ExitConfig
	if !refused || len(d.inherited) == 0 || d.predecessor != nil && !d.owner {
		return
	}
	select {
	case <-time.After(refusalDelay):
	case <-stops:
	}
}

// reportConfig logs each thing that is wrong with a configuration.
func (d *daemon) reportConfig(err error) {
	refused, ok := errors.AsType[*config.Error](err)
	if !ok {
		d.log.Error("configuration refused", "error", err)
		return
	}
	for _, g := range refused.Diagnostics() {
		d.log.Error("configuration refused: "+g.Where()+": "+g.Summary, "detail", g.Detail)
	}
}
