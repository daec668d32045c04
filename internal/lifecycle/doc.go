// Package lifecycle decides what the daemon does next.
//
// It is one pure function, [Step]: it takes the state and an event, and returns the new state and
// an ordered list of actions. It has no clock, does no I/O and writes no log, so a test can try
// every state with every event.
//
//	state.go   the phases, and what else a decision depends on
//	event.go   what can happen, with the facts that matter
//	action.go  what can be asked for
//	step.go    Step: the rules, phase by phase
//
// # How it is used
//
// One event loop owns the [State]:
//
//	var state lifecycle.State
//	for event := range events {
//		var actions []lifecycle.Action
//		state, actions = lifecycle.Step(state, event)
//		for _, a := range actions {
//			perform(a) // starts the work; its outcome is a later event
//		}
//	}
//
// Actions are begun in order, and [Exit] is always the last of all. A pair of phase and event that
// Step does not name changes nothing, so late results, stale timers and repeated reports are
// harmless.
//
// # Beside serving
//
// In [Running] one [Change] at a time may be under way: a reload, or an upgrade. One that is
// requested earlier, or meanwhile, is remembered once and begins as soon as it can. A reload ends
// with the new settings in force as a whole, or not at all. An upgrade gives nothing up before the
// successor serves and systemd follows it; then this process finishes what it has ([HandingOver]),
// and there is no way back. A shutdown drops both.
//
// [TailnetLost] and [TailnetRestored] are facts that are kept in every phase from [Starting] on,
// while the configuration requires a tailnet.
package lifecycle
