package daemon

import (
	"os"
	"os/signal"
	"syscall"

	"oauth-proxyd/internal/lifecycle"
)

// watchSignals turns signals into events until stop is called.
func (d *daemon) watchSignals() (stop func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2)
	ended := make(chan struct{})
	d.work.Go(func() {
		for {
			select {
			case s := <-signals:
				d.log.Info("signal", "signal", s.String())
				d.send(eventOf(s), nil)
			case <-ended:
				return
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(ended)
	}
}

func eventOf(s os.Signal) lifecycle.Event {
	switch s {
	case syscall.SIGHUP:
		return lifecycle.ReloadRequested{}
	case syscall.SIGUSR2:
		return lifecycle.UpgradeRequested{}
	default:
		return lifecycle.ShutdownSignal{}
	}
}

// stopSignals delivers what asks the process to end.
func stopSignals() (<-chan os.Signal, func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	return signals, func() { signal.Stop(signals) }
}
