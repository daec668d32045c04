package soak

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/bench/rig"
)

// Config is a run.
type Config struct {
	Program  string        // oauth-proxyd
	Duration time.Duration // of the load
	Clients  int
	// Idle is how long the daemon lets a stream be silent, or a client not read.
	Idle time.Duration
}

const (
	// warmUp is how long the load lasts before the state that must be returned to.
	warmUp = 5 * time.Second
	// settleTime bounds the wait until the daemon is what it was.
	settleTime = time.Minute
	settleStep = 200 * time.Millisecond
)

// soak is a run.
type soak struct {
	Config
	upstream *rig.Upstream
	daemon   *rig.Daemon
	pid      atomic.Int64 // of the process that serves
	unit     daemontest.Unit
	start    time.Time
	report   Report
}

// Run gives a report that says in the end whether all returned to where it was.
func Run(ctx context.Context, c Config) (*Report, error) {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it lies in the folder for such things
	s := &soak{Config: c, start: time.Now()}
	if s.upstream, err = rig.StartUpstream(dir, rig.StreamsPerConnection); err != nil {
		return nil, err
	}
	defer s.upstream.Close()
	address, err := rig.FreePort()
	if err != nil {
		return nil, err
	}
	if err := daemontest.InstallSystemctl(dir); err != nil {
		return nil, err
	}
	s.daemon, err = rig.StartDaemon(ctx, rig.DaemonConfig{
		Program: c.Program, Address: address, Upstream: "https://" + s.upstream.TLS, Authority: s.upstream.Authority,
		Dir: dir, Settings: fmt.Sprintf("idle_timeout = %q\nhandover_timeout = \"30s\"", s.Idle),
	})
	if err != nil {
		return nil, err
	}
	defer s.daemon.Close()
	if err := s.manage(dir); err != nil {
		return nil, err
	}
	defer s.endSuccessor()
	return &s.report, s.live(ctx)
}

// manage makes the daemon the main process of a unit, which can hand over.
func (s *soak) manage(dir string) error {
	program, err := exec.LookPath(s.Program)
	if err != nil {
		return err
	}
	if program, err = filepath.Abs(program); err != nil {
		return err
	}
	s.unit = daemontest.Unit{Dir: dir, Program: program, Args: s.daemon.Args}
	return s.serves(s.daemon.PID)
}

// live is the whole of it: warm up, look, load, look.
func (s *soak) live(ctx context.Context) error {
	following := s.follow(ctx)
	defer following()
	if err := s.load(ctx, min(warmUp, s.Duration/2), false); err != nil {
		return err
	}
	before, err := s.settle(ctx, nil)
	if err != nil {
		return err
	}
	if err := s.load(ctx, s.Duration, true); err != nil {
		return err
	}
	after, err := s.settle(ctx, &before)
	if err != nil {
		return err
	}
	s.report.Before, s.report.After = before, after
	return nil
}

// load has clients open streams for a time, with or without disturbances.
func (s *soak) load(ctx context.Context, d time.Duration, disturbed bool) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	stopClients := s.startClients(ctx)
	defer stopClients()
	if disturbed {
		stop := s.startDisturbing(ctx, d)
		defer stop()
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.note()
		case <-ctx.Done():
			if err := context.Cause(ctx); err != context.DeadlineExceeded { //nolint:errorlint // it is that very one
				return err
			}
			return nil
		}
	}
}

// settle waits until no stream is open and, if there is a goal, until that is reached.
func (s *soak) settle(ctx context.Context, goal *Sample) (Sample, error) {
	deadline := time.Now().Add(settleTime)
	for {
		sample := s.note()
		quiet := sample.err == nil && s.upstream.Streams() == 0 && sample.InFlight == 0
		if quiet && (goal == nil || sample.within(*goal)) || time.Now().After(deadline) {
			return sample, sample.err
		}
		select {
		case <-time.After(settleStep):
		case <-ctx.Done():
			return sample, ctx.Err()
		}
	}
}
