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

// witness remembers of a life what its promises speak of. It is told every
// action in order, and knows nothing of how Step decides.
type witness struct {
	gateOpen, gateOpened, listenersClosed     bool
	ready, reloading, loading, stopping       bool
	successor, announced, handed              bool
	following, draining, exited, statusBehind bool
}

// see takes note of one action, or says which promise it breaks.
func (w *witness) see(s State, a Action) error {
	if w.exited {
		return errors.New("something follows the exit")
	}
	switch a := a.(type) {
	case OpenGate:
		return w.openGate()
	case CloseListeners:
		w.gateOpen, w.listenersClosed = false, true
	case BeginDrain:
		return w.beginDrain()
	case ForceClose:
		return holds(w.draining || w.handed, "the cut comes in a drain or a hand-over")
	case StartSuccessor, StopSuccessor, NotifyMainPID, HandOver, BeginHandover:
		return w.upgrade(a)
	case NotifyReady, NotifyReloading, NotifyStopping:
		return w.notify(a)
	case LoadConfig, ApplyConfig, KeepConfig:
		return w.config(a)
	case FollowTailnet:
		again := w.following
		w.following = true
		return holds(s.Required && !again, "only a required tailnet is followed, once for each time")
	case ScheduleRetry:
		return holds(a.After == time.Second<<(s.Retries-1), "each retry waits twice as long")
	case UpdateStatus:
		w.statusBehind = false
	case Exit:
		w.exited = true
		return holds(a.Code == s.ExitCode && !w.statusBehind, "the exit is shown, with its own code")
	}
	return nil
}

func (w *witness) openGate() error {
	if w.gateOpened || w.stopping {
		return errors.New("the gate opens a second time or while stopping")
	}
	w.gateOpen, w.gateOpened = true, true
	return nil
}

// upgrade follows who the main process is. There is one successor at a time, and nothing
// is handed over before systemd was told of it.
func (w *witness) upgrade(a Action) error {
	switch a.(type) {
	case StartSuccessor:
		again := w.successor
		w.successor = true
		return holds(!again && !w.loading && w.gateOpen, "a successor is started alone, by one who serves")
	case StopSuccessor:
		w.successor = false
		return holds(!w.handed, "a successor that serves is not stopped")
	case NotifyMainPID:
		again := w.announced
		w.announced = true
		return holds(w.successor && !again && w.gateOpen, "a successor is announced once, by one who serves")
	case HandOver:
		w.handed = true
		return holds(w.successor && w.announced && w.gateOpen, "only an announced successor is handed over to")
	}
	return holds(w.handed && w.listenersClosed, "a hand-over begins when another serves")
}

func (w *witness) beginDrain() error {
	if w.draining || !w.listenersClosed || !w.stopping && !w.handed {
		return errors.New("a drain begins twice, unannounced, or with listeners open")
	}
	w.draining = true
	return nil
}

// notify follows the state that systemd believes in.
func (w *witness) notify(a Action) error {
	if w.stopping || w.handed {
		return errors.New("systemd is told something after STOPPING, or by who is not the main process")
	}
	switch a.(type) {
	case NotifyReady:
		w.ready, w.reloading = true, false
	case NotifyReloading:
		if !w.ready || w.reloading {
			return errors.New("RELOADING comes before READY or twice")
		}
		w.reloading = true
	case NotifyStopping:
		w.stopping, w.reloading = true, false
	}
	return nil
}

func (w *witness) config(a Action) error {
	_, load := a.(LoadConfig)
	if w.loading == load {
		return errors.New("two loads at once, or the outcome of none")
	}
	w.loading = load
	return holds(!w.stopping && !w.handed, "no configuration changes while stopping")
}

// settled checks, after all actions of a step, that the state says of the
// daemon what the actions have made of it.
func (w *witness) settled(s State) error {
	if m := malformed(s); m != "" {
		return errors.New(m)
	}
	serves := s.Phase == Starting || s.Phase == Running || s.Phase == HandingOver || s.Phase == Draining
	return errors.Join(
		holds(w.following == s.Required || !serves, "a tailnet is followed while it is required"),
		holds(w.gateOpen == (s.Phase == Running), "the gate is open in Running only"),
		holds(w.exited == (s.Phase == Stopped), "the exit comes with Stopped"),
		holds(w.draining || s.Phase != Draining, "Draining drains"),
		holds(w.reloading == s.Reloading, "systemd and the state agree on the reload"),
		holds(w.stopping || w.handed || s.Phase != Draining, "Draining is announced"),
		holds(w.handed || s.Phase != HandingOver, "in HandingOver another is the main process"),
		holds(w.successor || !s.Upgrading, "Upgrading has a successor"),
		holds(w.announced || !s.Announced, "an announced successor was announced"),
		holds(!w.statusBehind, "a change that users see is shown"),
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
	state State
	seen  witness
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
	if before.Phase != Initializing && demands(state) != demands(before) && !slices.Contains(actions, Action(ApplyConfig{})) {
		return l, errors.New("what is required changes, but no configuration is applied")
	}
	l.state = state
	if e == (SuccessorFailed{}) {
		l.seen.successor, l.seen.announced = false, false
	}
	l.seen.following = l.seen.following && state.Required
	l.seen.statusBehind = state.Phase != before.Phase || state.Tailnet != before.Tailnet
	for _, a := range actions {
		if err := l.seen.see(state, a); err != nil {
			return l, fmt.Errorf("%s: %w", words(a), err)
		}
	}
	return l, l.seen.settled(state)
}

// demands is what the configuration in force says of the tailnet.
func demands(s State) ConfigLoaded {
	return ConfigLoaded{TailnetRequired: s.Required, WaitWhenDown: s.WaitWhenDown}
}

// The machine is small enough to walk every life it can have, to any length:
// from each life reached, each event is tried, until no new life appears.
func TestPromisesHoldInEveryLife(t *testing.T) {
	begin := life{state: New()}
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

// Bytes are events, by their place in allEvents. The scenarios are the seeds.
func FuzzPromisesHold(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatalf("finding scenarios: %v", err)
	}
	for _, path := range paths {
		f.Add(encode(events(f, read(f, path))))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		all := allEvents()
		l := life{state: New()}
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
