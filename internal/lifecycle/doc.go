// Package lifecycle decides what the daemon does next.
//
// It is one pure function, [Step]: it takes the state and an event, and returns the new state and
// an ordered list of actions. It has no clock, does no I/O and writes no log, so a test can try
// every state with every event.
//
//	state.go   the phases, and the rest of the state
//	event.go   what can happen, with the facts that matter
//	action.go  what Step can ask for
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
// Actions are started in order, and [Exit] is always the last one. An event without a rule in the
// current phase changes nothing, so late results, stale timers and repeated reports are harmless.
//
// # Reloads and upgrades
//
// In [Running] one [Change] at a time may be under way: a reload or an upgrade. A request that
// comes earlier, or during a change, is remembered once and starts as soon as possible. A reload
// applies all new settings or none. During an upgrade this process stays in charge until the
// successor serves and systemd supervises it. Then it finishes its requests ([HandingOver]) and
// cannot return to Running. A shutdown drops both changes.
//
// [TailnetLost] and [TailnetConnected] are recorded in every phase from [Starting] on, if the
// configuration requires a tailnet.
package lifecycle
