package siege

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Config says what to attack.
type Config struct {
	Program  string // oauth-proxyd
	Limits   Limits // of its control group and its process
	Confined bool   // whether it has a control group; see [Confinable]
	Timing   Timing
}

// Timing says how long the steps of an attack take.
type Timing struct {
	Short    bool          // smaller numbers where they prove the same
	Warm     time.Duration // only bystanders, before the attack
	Most     time.Duration // for the attack itself
	Hold     time.Duration // with what the attack holds open
	Tick     time.Duration // between two bytes of a slow client
	Timeouts Timeouts
}

// Timeouts are the timeouts in the daemon's configuration.
type Timeouts struct{ Header, Idle, Queue time.Duration }

// shortTimeout is long for a stream with 20 events a second, also on a busy machine.
const shortTimeout = 1500 * time.Millisecond

// ShortTiming is for the tests.
func ShortTiming() Timing {
	return Timing{
		Short: true, Warm: 300 * time.Millisecond, Most: 6 * time.Second, Hold: 700 * time.Millisecond, Tick: 100 * time.Millisecond,
		Timeouts: Timeouts{Header: shortTimeout, Idle: shortTimeout, Queue: shortTimeout},
	}
}

// LongTiming is for a report. A tick is the second of a slowloris.
func LongTiming() Timing {
	return Timing{
		Warm: time.Second, Most: time.Minute, Hold: 8 * time.Second, Tick: time.Second,
		Timeouts: Timeouts{Header: 5 * time.Second, Idle: 5 * time.Second, Queue: 5 * time.Second},
	}
}

// Attacks are all that need no other program.
func Attacks() []Attack {
	refused, admitted := refusedAttacks(), admittedAttacks()
	for i := range refused {
		refused[i].Who = Refused
	}
	for i := range admitted {
		admitted[i].Who = Admitted
	}
	return append(refused, admitted...)
}

// Confinable says why no control group can be made; nil means that one can.
func Confinable(l Limits) error {
	c, err := newCgroup(l)
	if err != nil {
		return err
	}
	return c.close()
}

// Run attacks a daemon of its own, and reports what became of it. An error means that nothing was
// measured.
func Run(ctx context.Context, c Config, attack Attack) (r Result, err error) {
	dir, err := os.MkdirTemp("", "siege")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it lies in the folder for such things
	authority := filepath.Join(dir, "authority.pem")
	upstream, err := startUpstream(authority)
	if err != nil {
		return r, err
	}
	defer upstream.close()
	if err := configure(dir, upstream.url, authority, c.Timing.Timeouts, attack.Who); err != nil {
		return r, err
	}
	d, err := startDaemon(ctx, c, dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	s := &siege{Config: c, attack: attack, daemon: d, upstream: upstream}
	return s.run(ctx)
}

// siege is one attack on one daemon.
type siege struct {
	Config
	attack   Attack
	daemon   *daemon
	upstream *upstream

	stream                  *stream
	client, health, control *prober
	meter                   *meter
	result                  Result
}

func (s *siege) run(ctx context.Context) (Result, error) {
	s.result = Result{Attack: s.attack, Timeouts: s.Timing.Timeouts}
	if err := s.prepare(ctx); err != nil {
		return s.result, err
	}
	defer s.stream.close()
	probing, stop := context.WithCancel(ctx)
	defer stop()
	var probers sync.WaitGroup
	for _, p := range s.probers() {
		probers.Go(func() { p.run(probing) })
	}
	pause(ctx, s.Timing.Warm)
	if err := s.begin(ctx); err != nil {
		stop()
		probers.Wait()
		return s.result, err
	}
	assault, err := s.assault(ctx)
	stop()
	s.measureSlots(ctx)
	probers.Wait()
	s.finish(ctx, assault)
	return s.result, err
}

// prepare starts the bystanders.
func (s *siege) prepare(ctx context.Context) (err error) {
	timeout := s.result.slotLimit() + time.Second // longer than anybody may wait
	s.client = &prober{address: s.daemon.address, method: "POST", target: pathMessage, timeout: timeout}
	s.health = &prober{address: s.daemon.address, method: "GET", target: "/health", timeout: timeout}
	s.control = &prober{address: s.upstream.plain, method: "POST", target: pathMessage, timeout: timeout}
	s.stream, err = openStream(ctx, s.daemon.address)
	return err
}

func (s *siege) probers() []*prober { return []*prober{s.client, s.health, s.control} }

// begin measures what there is before the attack, and counts from there.
func (s *siege) begin(ctx context.Context) (err error) {
	if s.result.CountersBefore, err = s.counters(ctx); err != nil {
		return fmt.Errorf("before the attack: %w", err)
	}
	s.meter = newMeter(s.daemon.cmd.Process.Pid, s.daemon.group)
	if s.result.Before, err = s.meter.now(); err != nil {
		s.meter.stop()
		return fmt.Errorf("before the attack: %w", err)
	}
	s.result.socketsBefore = s.daemon.sockets()
	for _, p := range s.probers() {
		p.reset()
	}
	s.daemon.log.reset()
	return nil
}

// assault attacks, and holds what the attack holds.
func (s *siege) assault(ctx context.Context) (*Assault, error) {
	begin := time.Now()
	bounded, cancel := context.WithTimeout(ctx, s.Timing.Most)
	defer cancel()
	a := &Assault{Context: bounded, attack: s.attack, address: s.daemon.address, timing: s.Timing}
	err := s.attack.Run(a)
	pause(ctx, s.Timing.Hold)
	if s.attack.Fills { // a median is to tell of the full daemon, not of the burst that filled it
		pause(ctx, s.Timing.Hold)
	}
	s.result.Took = time.Since(begin)
	s.result.Connected = int(a.connected.Load())
	s.result.Kept = s.daemon.sockets() - s.result.socketsBefore
	s.result.Note = a.note
	return a, err
}

// measureSlots waits until no slot is taken but the one of the bystanders' stream, with all that
// the attacker holds still open.
func (s *siege) measureSlots(ctx context.Context) {
	begin := time.Now()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	limit := s.result.slotLimit()
	for {
		counters, err := s.counters(ctx)
		s.result.CountersAfter, s.result.CountersErr = counters, err
		s.result.SlotsAfter = time.Since(begin)
		if err == nil && counters.InFlight <= s.result.CountersBefore.InFlight {
			return
		}
		if s.result.SlotsAfter > limit || s.daemon.ended() || ctx.Err() != nil {
			return
		}
		<-ticker.C
	}
}

// counters asks /metrics in a time that fits a daemon under attack.
func (s *siege) counters(ctx context.Context) (Counters, error) {
	// Readers of /metrics that read nothing may have it to themselves for five seconds.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		c, err := s.daemon.counters(ctx)
		if err == nil || !strings.Contains(err.Error(), "overloaded_error") {
			return c, err
		}
		select {
		case <-time.After(countersPause):
		case <-ctx.Done():
			return c, err
		}
	}
}

// countersPause is between two attempts to read the counters.
const countersPause = 100 * time.Millisecond

// finish measures what is left, at first with the attacker and then without.
func (s *siege) finish(ctx context.Context, a *Assault) {
	defer s.meter.stop()
	r := &s.result
	r.Client, r.Health, r.Control = s.client.result(), s.health.result(), s.control.result()
	r.StreamErr = s.stream.fault()
	r.UpstreamClosed = s.upstream.closedForResets()
	r.Lines, r.Sample = s.daemon.log.total(), s.daemon.log.sample()
	if s.daemon.ended() {
		r.Died = s.daemon.ending()
		a.release()
		return
	}
	r.Max, r.MemoryErr = s.meter.most()
	a.release()
	s.measureRest(ctx)
}

// measureRest waits for the goroutines of the attacker's connections to end.
func (s *siege) measureRest(ctx context.Context) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for late := time.After(leakTime); ; {
		counters, err := s.counters(ctx)
		s.result.GoroutinesAfter = counters.Goroutines
		if err == nil && !s.result.leaks() {
			break
		}
		select {
		case <-ticker.C:
			continue
		case <-late:
		case <-ctx.Done():
		}
		break
	}
	after, err := s.meter.now()
	s.result.After, s.result.MemoryErr = after, errors.Join(s.result.MemoryErr, err)
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
