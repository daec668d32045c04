package lifecycle_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	. "oauth-proxyd/internal/lifecycle"
)

// recorder keeps of a life what its promises are about. It gets every action in order, and knows
// nothing of how Step decides.
type recorder struct {
	gateOpen, gateOpened, listenersClosed     bool
	ready, reloading, loading, stopping       bool
	successor, announced, handed              bool
	following, draining, exited, statusBehind bool
}

// action records one action, or says which promise it breaks.
func (r *recorder) action(s State, a Action) error {
	if r.exited {
		return errors.New("something follows the exit")
	}
	switch a := a.(type) {
	case OpenGate:
		return r.openGate()
	case CloseListeners:
		r.gateOpen, r.listenersClosed = false, true
	case BeginDrain:
		return r.beginDrain()
	case ForceClose:
		return holds(r.draining || r.handed, "the cut comes in a drain or a hand-over")
	case StartSuccessor, NotifyMainPID, StayInCharge, HandOver, BeginHandover:
		return r.upgrade(a)
	case NotifyReady, NotifyReloading, NotifyStopping:
		return r.notify(a)
	case LoadConfig, ApplyConfig, KeepConfig:
		return r.config(a)
	case FollowTailnet:
		again := r.following
		r.following = true
		return holds(s.TailnetRequired() && !again, "only a required tailnet is followed, once for each time")
	case ScheduleRetry:
		return holds(a.After == time.Second<<(s.Retries-1), "each retry waits twice as long")
	case UpdateStatus:
		r.statusBehind = false
	case Exit:
		r.exited = true
		return holds(a.Code == s.ExitCode && !r.statusBehind, "the exit is shown, with its own code")
	}
	return nil
}

func (r *recorder) openGate() error {
	if r.gateOpened || r.stopping {
		return errors.New("the gate opens a second time or while stopping")
	}
	r.gateOpen, r.gateOpened = true, true
	return nil
}

// upgrade records who the main process is. There is one successor at a time, and nothing is handed
// over before systemd was notified.
func (r *recorder) upgrade(a Action) error {
	switch a.(type) {
	case StartSuccessor:
		again := r.successor
		r.successor = true
		return holds(!again && !r.loading && r.gateOpen, "a successor is started alone, by a process that serves")
	case NotifyMainPID:
		again := r.announced
		r.announced = true
		return holds(r.successor && !again && r.gateOpen, "a successor is announced once, by a process that serves")
	case StayInCharge:
		failed := r.successor && !r.handed
		r.successor, r.announced = false, false
		return holds(failed, "only an upgrade under way fails")
	case HandOver:
		r.handed = true
		return holds(r.successor && r.announced && r.gateOpen, "only an announced successor is handed over to")
	}
	return holds(r.handed && r.listenersClosed, "a hand-over begins when another serves")
}

func (r *recorder) beginDrain() error {
	if r.draining || !r.listenersClosed || !r.stopping && !r.handed {
		return errors.New("a drain begins twice, unannounced, or with listeners open")
	}
	r.draining = true
	return nil
}

// notify records the state that systemd believes in.
func (r *recorder) notify(a Action) error {
	if r.stopping || r.handed {
		return errors.New("systemd is notified after STOPPING, or by a process that is not the main one")
	}
	switch a.(type) {
	case NotifyReady:
		r.ready, r.reloading = true, false
	case NotifyReloading:
		if !r.ready || r.reloading {
			return errors.New("RELOADING comes before READY or twice")
		}
		r.reloading = true
	case NotifyStopping:
		r.stopping, r.reloading = true, false
	}
	return nil
}

func (r *recorder) config(a Action) error {
	_, load := a.(LoadConfig)
	if r.loading == load {
		return errors.New("two loads at once, or the outcome of none")
	}
	r.loading = load
	return holds(!r.stopping && !r.handed, "no configuration changes while stopping")
}

// settled checks, after all actions of a step, that the state says of the daemon what the actions
// have made of it.
func (r *recorder) settled(s State) error {
	if m := malformed(s); m != "" {
		return errors.New(m)
	}
	serves := s.Phase == Starting || s.Phase == Running || s.Phase == HandingOver || s.Phase == Draining
	return errors.Join(
		holds(r.following == s.TailnetRequired() || !serves, "a tailnet is followed while it is required"),
		holds(r.gateOpen == (s.Phase == Running), "the gate is open in Running only"),
		holds(r.exited == (s.Phase == Stopped), "the exit comes with Stopped"),
		holds(r.draining || s.Phase != Draining, "Draining drains"),
		holds(r.reloading == (s.Change == Reloading), "systemd and the state agree on the reload"),
		holds(r.stopping || r.handed || s.Phase != Draining, "Draining is announced"),
		holds(r.handed || s.Phase != HandingOver, "in HandingOver another is the main process"),
		holds(r.successor || !s.IsUpgrading(), "an upgrade has a successor"),
		holds(r.announced || s.Change != Announcing, "an announced successor was announced"),
		holds(!r.statusBehind, "a change that users see is shown"),
	)
}

func holds(truth bool, promise string) error {
	if truth {
		return nil
	}
	return fmt.Errorf("broken: %s", promise)
}

// life is a state and what led to it, as far as promises go.
type life struct {
	state  State
	record recorder
}

// after returns the life one event later.
func (l life) after(e Event) (life, error) {
	before := l.state
	state, actions := Step(before, e)
	again, repeated := Step(before, e)
	if again != state || !slices.Equal(repeated, actions) {
		return l, errors.New("the same step gave two results")
	}
	if state.Retries < before.Retries {
		return l, errors.New("retries are forgotten")
	}
	if before.ExitCode != 0 && state.ExitCode != before.ExitCode {
		return l, errors.New("a failure is forgotten")
	}
	if before.Phase != Initializing && state.TailnetRequired() != before.TailnetRequired() && !slices.Contains(actions, Action(ApplyConfig{})) {
		return l, errors.New("what is required changes, but no configuration is applied")
	}
	l.state = state
	l.record.following = l.record.following && state.TailnetRequired()
	l.record.statusBehind = state.Phase != before.Phase || state.Tailnet != before.Tailnet
	for _, a := range actions {
		if err := l.record.action(state, a); err != nil {
			return l, fmt.Errorf("%s: %w", words(a), err)
		}
	}
	return l, l.record.settled(state)
}

// The machine is small enough to walk every life it can have, to any length: from each life
// reached, each event is tried, until no new life appears.
func TestPromisesInEveryLife(t *testing.T) {
	begin := life{state: State{}}
	known := map[life]bool{begin: true}
	phases := map[Phase]int{}
	for queue := []life{begin}; len(queue) > 0; queue = queue[1:] {
		phases[queue[0].state.Phase]++
		for _, e := range allEvents() {
			next, err := queue[0].after(e)
			if err != nil {
				t.Fatalf("%+v with %s: %v", queue[0].state, words(e), err)
			}
			if !known[next] {
				known[next] = true
				queue = append(queue, next)
			}
		}
		twice, _ := Step(queue[0].state, ShutdownSignal{})
		if twice, _ = Step(twice, ShutdownSignal{}); twice.Phase != Stopped {
			t.Errorf("%+v: two signals lead to %v", queue[0].state, twice.Phase)
		}
	}
	for _, p := range allPhases() {
		if phases[p] == 0 {
			t.Errorf("no life reaches %v", p)
		}
	}
}

// Bytes are events, by their index in allEvents. The scenarios are the seeds.
func FuzzPromises(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatalf("finding scenarios: %v", err)
	}
	for _, path := range paths {
		f.Add(encode(events(f, read(f, path))))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		all := allEvents()
		l := life{state: State{}}
		for i, b := range input {
			e := all[int(b)%len(all)]
			next, err := l.after(e)
			if err != nil {
				t.Fatalf("event %d, %s in %v: %v", i, words(e), l.state.Phase, err)
			}
			l = next
		}
	})
}

func encode(events []Event) []byte {
	var input []byte
	for _, e := range events {
		input = append(input, byte(slices.Index(allEvents(), e)))
	}
	return input
}
