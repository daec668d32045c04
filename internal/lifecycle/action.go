package lifecycle

import "time"

// Action is something for the event loop to do. All actions are in this file. They are comparable
// values, not pointers.
type Action interface{ isAction() }

type action struct{}

func (action) isAction() {}

// The tailnet and the listeners.
type (
	// ConnectTailnet starts one attempt to reach the tailnet, which ends in [TailnetConnected] or
	// [TailnetLost].
	ConnectTailnet struct{ action }
	// ScheduleRetry starts a timer, which ends in [RetryTimer].
	ScheduleRetry struct {
		action
		After time.Duration
	}
	// FollowTailnet starts to watch the tailnet and reports it as [TailnetLost] and
	// [TailnetConnected]. If it is watched already, the current state is reported again. Nothing
	// stops the watch: Step ignores reports about a tailnet that is no longer required.
	FollowTailnet struct{ action }
	// StartListeners opens the listeners without accepting yet. It ends in [ListenersReady] or
	// [ListenerFailed].
	StartListeners struct{ action }
	// OpenGate starts to accept connections, once in the life of a process.
	OpenGate struct{ action }
	// CloseListeners stops accepting connections.
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
	// UpdateStatus sends STATUS=, from the new State.
	UpdateStatus struct{ action }
)

// A reload.
type (
	// LoadConfig reads the configuration again and builds settings from it without applying them.
	// It ends in [ReloadDone] or [ReloadFailed].
	LoadConfig struct{ action }
	// ApplyConfig applies the settings that LoadConfig built.
	ApplyConfig struct{ action }
	// KeepConfig reports that the current settings stay.
	KeepConfig struct{ action }
)

// An upgrade.
type (
	// StartSuccessor starts the installed program on our listeners. It ends in [SuccessorReady] or
	// [SuccessorFailed].
	StartSuccessor struct{ action }
	// NotifyMainPID sends the successor's MAINPID=, asks systemd whether it supervises that process
	// now, and makes the successor serve. It ends in [SuccessorFollowed] or [SuccessorFailed].
	NotifyMainPID struct{ action }
	// StayInCharge reports that the upgrade failed, and undoes NotifyMainPID.
	StayInCharge struct{ action }
	// HandOver leaves to the successor what only one process can have, such as the admin socket.
	HandOver struct{ action }
	// BeginHandover lets requests in flight finish, within handover_timeout. It ends in [Drained]
	// or [HandoverTimeout].
	BeginHandover struct{ action }
)

// Shutdown.
type (
	// BeginDrain lets requests in flight finish, within drain_timeout. It ends in [Drained] or
	// [DrainTimeout].
	BeginDrain struct{ action }
	// ForceClose cuts the requests that are still in flight.
	ForceClose struct{ action }
	// Exit ends the process with Code, one of the Exit constants. It is the last action.
	Exit struct {
		action
		Code int
	}
)
