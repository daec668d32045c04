package lifecycle

import "time"

// Action is something to do. The set is closed: the types in this file, as values (not pointers),
// all of them comparable.
type Action interface{ isAction() }

type action struct{}

func (action) isAction() {}

// The tailnet and the listeners.
type (
	// ConnectTailnet begins one attempt to reach the tailnet. It results in [TailnetConnected] or
	// [TailnetError].
	ConnectTailnet struct{ action }
	// ScheduleRetry sets a timer, which results in [RetryTimer].
	ScheduleRetry struct {
		action
		After time.Duration
	}
	// FollowTailnet begins to watch the tailnet, or reports once more what is known if it is
	// watched already, as [TailnetLost] and [TailnetRestored]. Nothing takes it back: reports about
	// a tailnet that is not required any more are ignored.
	FollowTailnet struct{ action }
	// StartListeners opens the listeners, the gate still closed. It results in [ListenersReady] or
	// [ListenerFailed].
	StartListeners struct{ action }
	// OpenGate lets requests in, once in a life.
	OpenGate struct{ action }
	// CloseListeners closes the gate: no more connections are taken.
	CloseListeners struct{ action }
)

// Notifications of systemd; see sd_notify(3).
type (
	// NotifyReady sends READY=1, after the start and after each reload.
	NotifyReady struct{ action }
	// NotifyReloading sends RELOADING=1 with MONOTONIC_USEC. NotifyReady or NotifyStopping follows.
	NotifyReloading struct{ action }
	// NotifyStopping sends STOPPING=1.
	NotifyStopping struct{ action }
	// UpdateStatus sends STATUS= and sets the gauges, both from the new State.
	UpdateStatus struct{ action }
)

// A reload.
type (
	// LoadConfig reads the configuration again and builds settings from it without applying them.
	// It results in [ReloadDone] or [ReloadFailed].
	LoadConfig struct{ action }
	// ApplyConfig puts the settings that LoadConfig built in force.
	ApplyConfig struct{ action }
	// KeepConfig leaves the settings in force as they are, and says so.
	KeepConfig struct{ action }
)

// An upgrade.
type (
	// StartSuccessor starts a process of the installed program on our listeners. It results in
	// [SuccessorReady] or [SuccessorFailed].
	StartSuccessor struct{ action }
	// NotifyMainPID sends MAINPID= of the successor, asks systemd whether it supervises that
	// process now, and has the successor serve. It results in [SuccessorFollowed] or
	// [SuccessorFailed].
	NotifyMainPID struct{ action }
	// HandOver leaves what there is only one of to the successor, which serves.
	HandOver struct{ action }
	// BeginHandover lets requests in flight finish, within the long time of a hand-over. It results
	// in [Drained] or [HandoverTimeout].
	BeginHandover struct{ action }
)

// The end.
type (
	// BeginDrain lets requests in flight finish, within the short time of a drain. It results in
	// [Drained] or [DrainTimeout].
	BeginDrain struct{ action }
	// ForceClose cuts what is still in flight.
	ForceClose struct{ action }
	// Exit ends the process with Code, one of the Exit constants. Nothing follows.
	Exit struct {
		action
		Code int
	}
)
