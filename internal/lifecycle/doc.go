// Package lifecycle decides what the daemon does next.
//
// It is one pure function, [Step]: it takes the state and one thing that
// happened, and returns the new state and an ordered list of things to do. It
// has no clock, does no I/O and writes no log, so every path through the life
// of the daemon can be tested in microseconds, and what it decides depends on
// nothing that a test cannot see.
//
//	step.go    Step: the rules, phase by phase
//	state.go   the phases, and what else a decision depends on
//	event.go   what can happen
//	action.go  what can be asked for
//
// # Who calls it
//
// One event loop owns the [State]. It takes an [Event] from a channel, calls
// Step, keeps the new State, and performs the Actions in the order given, each
// begun before the next. An [Action] that takes time (connecting, listening,
// loading a file, draining, a retry timer) only starts its work; the outcome
// comes back as a later Event. [Exit] is always the last Action of all.
//
// # The life
//
// A boot goes from [Initializing] over [ConnectingTailnet] and [Starting] to
// [Running]. A tailnet that fails to answer is tried again from [Error], 1, 2,
// 4, 8 and 16 s apart, and then given up; where the configuration says to wait,
// the daemon starts at once without it and is told later that it came. A
// shutdown signal leads from Running or [HandingOver] over [Draining] to [Stopped], and from
// any phase before Running straight to Stopped. A listener that dies in Running
// leads the same way as a signal, but ends in [ExitInternal], so that a service
// manager that restarts after failures starts the daemon anew.
//
// A pair of phase and event that Step does not name changes nothing and does
// nothing: late answers, stale timers and repeated reports are harmless.
//
// # Reloads
//
// A reload runs beside the phase Running, which goes on serving: [LoadConfig]
// builds new settings, and then they are applied whole ([ApplyConfig]) or not
// at all ([KeepConfig]). A reload asked for before Running, or during another
// reload, is remembered once however often it is asked for, and begins as soon
// as it can. A shutdown forgets it, and drops the result of one under way.
//
// New settings may begin or cease to require a tailnet. One that is newly
// required is [TailnetUnknown] until the first report about it; one that is not
// required any more is [TailnetDisabled] at once.
//
// # Upgrades
//
// An upgrade runs beside the phase Running, too, but not beside a reload: of the two
// one waits for the other. The successor is started ([StartSuccessor]) and, when it
// serves, announced to systemd ([NotifyMainPID]). Only if systemd follows does this
// process hand over ([HandOver]): it takes no more connections and finishes what it has.
// There is no way back. If the successor fails later, systemd starts the service again.
//
// # The tailnet
//
// [TailnetLost] and [TailnetRestored] are facts, not results. They are kept
// from the moment the daemon follows the tailnet ([FollowTailnet], on entering
// Starting or after a reload) until it stops or a reload drops the requirement,
// also where they change no phase: otherwise Running could begin healthy with a
// tailnet lost a moment before, or the last metrics of a drain show a dead
// tailnet as up. While no tailnet is required they are ignored.
package lifecycle
