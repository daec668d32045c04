package lifecycle_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	. "oauth-proxyd/internal/lifecycle"
)

// rule is one line of the table: in any of these phases, on any of these events, if the condition
// holds, the state becomes this and this is done.
type rule struct {
	name string
	in   []Phase
	on   []Event
	when func(State) bool // nil: always
	then func(*State)
	do   []Action
}

func (r rule) applies(s State, e Event) bool {
	return slices.Contains(r.in, s.Phase) && slices.Contains(r.on, e) && (r.when == nil || r.when(s))
}

func in(p ...Phase) []Phase   { return p }
func on(e ...Event) []Event   { return e }
func do(a ...Action) []Action { return a }
func waits(s State) bool      { return s.WaitWhenDown }
func idle(s State) bool       { return s.Change == NoChange }
func busy(s State) bool       { return s.Change != NoChange }
func upgrading(s State) bool  { return s.Change == Upgrading || s.Change == Announcing }
func alone(s State) bool      { return !s.ReloadPending && !s.UpgradePending }
func another(s State) bool    { return s.ReloadPending }
func succeeded(s State) bool  { return !s.ReloadPending && s.UpgradePending }
func failing(s State) bool    { return s.ExitCode == 1 }
func clean(s State) bool      { return s.ExitCode == 0 }
func required(s State) bool   { return s.Tailnet != TailnetDisabled }
func spared(s State) bool     { return s.Tailnet == TailnetDisabled }
func forget(s *State)         { s.Change, s.ReloadPending, s.UpgradePending = NoChange, false, false }
func upgrades(s *State)       { forget(s); s.Change = Upgrading }
func reloads(s *State)        { s.Change, s.ReloadPending = Reloading, false }

func changing(c Change) func(State) bool { return func(s State) bool { return s.Change == c } }

func both(a, b func(State) bool) func(State) bool {
	return func(s State) bool { return a(s) && b(s) }
}

func not(a func(State) bool) func(State) bool { return func(s State) bool { return !a(s) } }

func stops(code int) func(*State) {
	return func(s *State) { forget(s); s.Phase, s.ExitCode = Stopped, code }
}

func bootRules() []rule {
	return []rule{
		{
			name: "a required tailnet is connected to first",
			in:   in(Initializing), on: on(ConfigLoaded{TailnetRequired: true}),
			then: func(s *State) { s.Phase = ConnectingTailnet },
			do:   do(ConnectTailnet{}, UpdateStatus{}),
		},
		{
			name: "a required tailnet that may be waited for is connected to first",
			in:   in(Initializing), on: on(ConfigLoaded{TailnetRequired: true, WaitWhenDown: true}),
			then: func(s *State) { s.Phase, s.WaitWhenDown = ConnectingTailnet, true },
			do:   do(ConnectTailnet{}, UpdateStatus{}),
		},
		{
			name: "without a required tailnet the listeners start",
			in:   in(Initializing), on: on(ConfigLoaded{}, ConfigLoaded{WaitWhenDown: true}),
			then: func(s *State) { s.Phase, s.Tailnet = Starting, TailnetDisabled },
			do:   do(StartListeners{}, UpdateStatus{}),
		},
		{
			name: "a bad configuration ends it",
			in:   in(Initializing), on: on(ConfigFailed{}),
			then: stops(78), do: do(UpdateStatus{}, Exit{Code: 78}),
		},
		{
			name: "listeners ready",
			in:   in(Starting), on: on(ListenersReady{}),
			when: alone,
			then: func(s *State) { s.Phase = Running },
			do:   do(OpenGate{}, NotifyReady{}, UpdateStatus{}),
		},
		{
			name: "listeners ready, and a reload was asked for",
			in:   in(Starting), on: on(ListenersReady{}),
			when: another,
			then: func(s *State) { reloads(s); s.Phase = Running },
			do:   do(OpenGate{}, NotifyReady{}, UpdateStatus{}, NotifyReloading{}, LoadConfig{}),
		},
		{
			name: "listeners ready, and an upgrade was asked for",
			in:   in(Starting), on: on(ListenersReady{}),
			when: succeeded,
			then: func(s *State) { upgrades(s); s.Phase = Running },
			do:   do(OpenGate{}, NotifyReady{}, UpdateStatus{}, StartSuccessor{}),
		},
		{
			name: "a listener failed",
			in:   in(Starting), on: on(ListenerFailed{}),
			then: stops(1), do: do(UpdateStatus{}, Exit{Code: 1}),
		},
	}
}

func tailnetRules() []rule {
	retryable := on(TailnetLost{Retry: true, ExitCode: 69})
	login, away := on(TailnetLost{ExitCode: 77}), on(TailnetLost{ExitCode: 69})
	leaves := func(code int) func(*State) {
		return func(s *State) { stops(code)(s); s.Tailnet = TailnetDown }
	}
	rules := []rule{
		{
			name: "connected",
			in:   in(ConnectingTailnet), on: on(TailnetConnected{}),
			then: func(s *State) { s.Phase, s.Tailnet = Starting, TailnetUp },
			do:   do(StartListeners{}, FollowTailnet{}, UpdateStatus{}),
		},
		{
			name: "down, and to be waited for",
			in:   in(ConnectingTailnet, Retrying), on: slices.Concat(retryable, login, away), when: waits,
			then: func(s *State) { s.Phase, s.Tailnet = Starting, TailnetDown },
			do:   do(StartListeners{}, FollowTailnet{}, UpdateStatus{}),
		},
		{
			name: "an admin must act on the node",
			in:   in(ConnectingTailnet), on: login,
			when: func(s State) bool { return !s.WaitWhenDown },
			then: leaves(77), do: do(UpdateStatus{}, Exit{Code: 77}),
		},
		{
			name: "tailscaled is down or absent",
			in:   in(ConnectingTailnet), on: away,
			when: func(s State) bool { return !s.WaitWhenDown },
			then: leaves(69), do: do(UpdateStatus{}, Exit{Code: 69}),
		},
		{
			name: "the sixth failure is the last",
			in:   in(ConnectingTailnet), on: retryable,
			when: func(s State) bool { return !s.WaitWhenDown && s.Retries == 5 },
			then: leaves(69), do: do(UpdateStatus{}, Exit{Code: 69}),
		},
		{
			name: "the retry is due",
			in:   in(Retrying), on: on(RetryTimer{}),
			then: func(s *State) { s.Phase = ConnectingTailnet },
			do:   do(ConnectTailnet{}, UpdateStatus{}),
		},
	}
	for retries, after := range []time.Duration{1, 2, 4, 8, 16} {
		rules = append(rules, rule{
			name: fmt.Sprintf("failure %d is retried", retries+1),
			in:   in(ConnectingTailnet), on: retryable,
			when: func(s State) bool { return !s.WaitWhenDown && s.Retries == retries },
			then: func(s *State) { s.Phase, s.Tailnet, s.Retries = Retrying, TailnetDown, retries+1 },
			do:   do(ScheduleRetry{After: after * time.Second}, UpdateStatus{}),
		})
	}
	return append(rules, rule{
		name: "a followed tailnet is lost",
		in:   in(Starting, Running, HandingOver, Draining), on: slices.Concat(retryable, login, away), when: required,
		then: func(s *State) { s.Tailnet = TailnetDown }, do: do(UpdateStatus{}),
	}, rule{
		name: "a followed tailnet is restored",
		in:   in(Starting, Running, HandingOver, Draining), on: on(TailnetConnected{}), when: required,
		then: func(s *State) { s.Tailnet = TailnetUp }, do: do(UpdateStatus{}),
	})
}

func reloadRules() []rule {
	return []rule{
		{
			name: "a reload before Running is remembered",
			in:   in(Initializing, ConnectingTailnet, Retrying, Starting), on: on(ReloadRequested{}),
			then: func(s *State) { s.ReloadPending = true },
		},
		{
			name: "an upgrade before Running is remembered",
			in:   in(Initializing, ConnectingTailnet, Retrying, Starting), on: on(UpgradeRequested{}),
			then: func(s *State) { s.UpgradePending = true },
		},
		{
			name: "a reload begins",
			in:   in(Running), on: on(ReloadRequested{}), when: idle,
			then: reloads,
			do:   do(NotifyReloading{}, LoadConfig{}),
		},
		{
			name: "a reload during a reload or an upgrade is remembered",
			in:   in(Running), on: on(ReloadRequested{}), when: busy,
			then: func(s *State) { s.ReloadPending = true },
		},
		{
			name: "a reload is refused",
			in:   in(Running), on: on(ReloadFailed{}), when: both(changing(Reloading), alone), then: forget,
			do: do(KeepConfig{}, NotifyReady{}, UpdateStatus{}),
		},
		{
			name: "a reload is refused and the remembered one begins",
			in:   in(Running), on: on(ReloadFailed{}), when: both(changing(Reloading), another),
			then: func(s *State) { s.ReloadPending = false },
			do:   do(KeepConfig{}, NotifyReady{}, UpdateStatus{}, NotifyReloading{}, LoadConfig{}),
		},
		{
			name: "a reload is refused and the remembered upgrade begins",
			in:   in(Running), on: on(ReloadFailed{}), when: both(changing(Reloading), succeeded), then: upgrades,
			do: do(KeepConfig{}, NotifyReady{}, UpdateStatus{}, StartSuccessor{}),
		},
	}
}

func upgradeRules() []rule {
	return []rule{
		{
			name: "an upgrade begins",
			in:   in(Running), on: on(UpgradeRequested{}), when: idle,
			then: upgrades, do: do(StartSuccessor{}),
		},
		{
			name: "an upgrade during a reload is remembered",
			in:   in(Running), on: on(UpgradeRequested{}), when: changing(Reloading),
			then: func(s *State) { s.UpgradePending = true },
		},
		{
			name: "the successor serves",
			in:   in(Running), on: on(SuccessorReady{}), when: changing(Upgrading),
			then: func(s *State) { s.Change = Announcing },
			do:   do(NotifyMainPID{}),
		},
		{
			name: "systemd follows the successor",
			in:   in(Running), on: on(SuccessorFollowed{}), when: changing(Announcing),
			then: func(s *State) { forget(s); s.Phase = HandingOver },
			do:   do(HandOver{}, CloseListeners{}, BeginHandover{}, UpdateStatus{}),
		},
		{
			name: "the successor never served",
			in:   in(Running), on: on(SuccessorFailed{}), when: both(upgrading, func(s State) bool { return !s.ReloadPending }),
			then: forget, do: do(StayInCharge{}, UpdateStatus{}),
		},
		{
			name: "the successor never served and the remembered reload begins",
			in:   in(Running), on: on(SuccessorFailed{}), when: both(upgrading, func(s State) bool { return s.ReloadPending }),
			then: reloads,
			do:   do(StayInCharge{}, UpdateStatus{}, NotifyReloading{}, LoadConfig{}),
		},
		{
			name: "everything from before the hand-over ended",
			in:   in(HandingOver), on: on(Drained{}),
			then: stops(0), do: do(UpdateStatus{}, Exit{Code: 0}),
		},
		{
			name: "what is left from before the hand-over is cut",
			in:   in(HandingOver), on: on(HandoverTimeout{}),
			then: stops(75), do: do(ForceClose{}, UpdateStatus{}, Exit{Code: 75}),
		},
		{
			name: "a signal drains what is left from before the hand-over",
			in:   in(HandingOver), on: on(ShutdownSignal{}),
			then: func(s *State) { s.Phase = Draining },
			do:   do(BeginDrain{}, UpdateStatus{}),
		},
	}
}

// appliedRules are those of a reload that ends well: each once where no other was asked for
// meanwhile, and once where another begins.
func appliedRules() []rule {
	none, some := on(ReloadDone{}), on(ReloadDone{TailnetRequired: true})
	follow := do(ApplyConfig{}, FollowTailnet{}, NotifyReady{}, UpdateStatus{})
	apply := do(ApplyConfig{}, NotifyReady{}, UpdateStatus{})
	ends := []rule{
		{name: "the tailnet is required no more", on: none, when: required, then: func(s *State) { s.Tailnet = TailnetDisabled }, do: apply},
		{name: "the tailnet is still not required", on: none, when: spared, then: func(*State) {}, do: apply},
		{name: "the tailnet is newly required", on: some, when: spared, then: func(s *State) { s.Tailnet = TailnetUnknown }, do: follow},
		{name: "the tailnet is still required", on: some, when: required, then: func(*State) {}, do: apply},
	}
	var rules []rule
	for _, r := range ends {
		rules = append(rules, rule{
			name: r.name, in: in(Running), on: r.on,
			when: both(both(changing(Reloading), r.when), alone),
			then: func(s *State) { r.then(s); forget(s) },
			do:   r.do,
		}, rule{
			name: r.name + ", and the remembered reload begins", in: in(Running), on: r.on,
			when: both(both(changing(Reloading), r.when), another),
			then: func(s *State) { r.then(s); s.ReloadPending = false },
			do:   slices.Concat(r.do, do(NotifyReloading{}, LoadConfig{})),
		}, rule{
			name: r.name + ", and the remembered upgrade begins", in: in(Running), on: r.on,
			when: both(both(changing(Reloading), r.when), succeeded),
			then: func(s *State) { r.then(s); upgrades(s) },
			do:   slices.Concat(r.do, do(StartSuccessor{})),
		})
	}
	return rules
}

func shutdownRules() []rule {
	return []rule{
		{
			name: "a signal before Running stops at once",
			in:   in(Initializing, ConnectingTailnet, Retrying, Starting), on: on(ShutdownSignal{}),
			then: stops(0), do: do(NotifyStopping{}, UpdateStatus{}, Exit{Code: 0}),
		},
		{
			name: "a signal drains",
			in:   in(Running), on: on(ShutdownSignal{}),
			then: func(s *State) { forget(s); s.Phase = Draining },
			do:   do(NotifyStopping{}, CloseListeners{}, BeginDrain{}, UpdateStatus{}),
		},
		{
			name: "a listener that dies drains, to leave with a failure",
			in:   in(Running), on: on(ListenerFailed{}),
			then: func(s *State) { forget(s); s.Phase, s.ExitCode = Draining, 1 },
			do:   do(NotifyStopping{}, CloseListeners{}, BeginDrain{}, UpdateStatus{}),
		},
		{
			name: "everything ended",
			in:   in(Draining), on: on(Drained{}), when: clean,
			then: stops(0), do: do(UpdateStatus{}, Exit{Code: 0}),
		},
		{
			name: "everything ended after a listener died",
			in:   in(Draining), on: on(Drained{}), when: failing,
			then: stops(1), do: do(UpdateStatus{}, Exit{Code: 1}),
		},
		{
			name: "the drain is cut short",
			in:   in(Draining), on: on(DrainTimeout{}, ShutdownSignal{}), when: clean,
			then: stops(75), do: do(ForceClose{}, UpdateStatus{}, Exit{Code: 75}),
		},
		{
			name: "the drain after a listener died is cut short",
			in:   in(Draining), on: on(DrainTimeout{}, ShutdownSignal{}), when: failing,
			then: stops(1), do: do(ForceClose{}, UpdateStatus{}, Exit{Code: 1}),
		},
	}
}

// Every well-formed state meets every event. A pair with a rule obeys it, every other changes
// nothing and does nothing; no pair has two rules, and no rule is there for nothing.
func TestEveryStateAndEvent(t *testing.T) {
	rules := slices.Concat(bootRules(), tailnetRules(), reloadRules(), appliedRules(), upgradeRules(), shutdownRules())
	used := make([]bool, len(rules))
	for s := range wellFormedStates {
		for _, e := range allEvents() {
			name, wantState, wantActions := "no rule", s, []Action(nil)
			for i, r := range rules {
				if !r.applies(s, e) {
					continue
				}
				if name != "no rule" {
					t.Fatalf("%+v with %#v: has two rules, %q and %q", s, e, name, r.name)
				}
				used[i], name, wantActions = true, r.name, r.do
				r.then(&wantState)
			}
			state, actions := Step(s, e)
			if state != wantState || !slices.Equal(actions, wantActions) {
				t.Errorf("%+v with %#v (%s):\n got %+v %#v\nwant %+v %#v",
					s, e, name, state, actions, wantState, wantActions)
			}
		}
	}
	for i, r := range rules {
		if !used[i] {
			t.Errorf("rule %q applies to no state", r.name)
		}
	}
}

// wellFormedStates yields every state that keeps the promises of State's documentation, whether or
// not a life gets there.
func wellFormedStates(yield func(State) bool) {
	flags := []bool{false, true}
	for i := range 8 * int(Announcing+1) {
		s := State{
			WaitWhenDown: flags[i&1], ReloadPending: flags[i>>1&1], UpgradePending: flags[i>>2&1], Change: Change(i >> 3),
		}
		for _, s.Phase = range allPhases() {
			for s.Tailnet = range TailnetDisabled + 1 {
				for s.Retries = range MaxRetries + 1 {
					for _, s.ExitCode = range exitCodes() {
						if malformed(s) == "" && !yield(s) {
							return
						}
					}
				}
			}
		}
	}
}

func exitCodes() []int { return []int{0, 1, 69, 75, 77, 78} }

// malformed says which promise of State's documentation s breaks, or nothing.
func malformed(s State) string {
	connecting := s.Phase == ConnectingTailnet || s.Phase == Retrying
	switch {
	case s.Phase < Initializing || s.Phase > Stopped:
		return "the phase is unknown"
	case s.Retries < 0 || s.Retries > MaxRetries:
		return "the retries are out of bounds"
	case s.Phase == Initializing && (s.WaitWhenDown || s.Tailnet != TailnetUnknown):
		return "knows a configuration before it is loaded"
	case connecting && !s.TailnetRequired():
		return "connects to a tailnet that is not required"
	case s.Change != NoChange && s.Phase != Running:
		return "changes outside Running"
	case (s.ReloadPending || s.UpgradePending) && s.Phase == Running && s.Change == NoChange:
		return "a change waits for nothing"
	case (s.ReloadPending || s.UpgradePending) && s.Phase > Running:
		return "a change waits in vain"
	case s.UpgradePending && s.IsUpgrading():
		return "an upgrade waits for itself"
	case s.ExitCode != 0 && s.Phase < Draining:
		return "has an exit code but goes on"
	case s.Phase == Draining && s.ExitCode != 0 && s.ExitCode != 1:
		return "drains for a failure that is not its own"
	case !slices.Contains(exitCodes(), s.ExitCode):
		return "the exit code is unknown"
	}
	return ""
}
