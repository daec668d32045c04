package lifecycle

import "time"

// Action is something to do. The set is closed: the types in this file, as
// values (not pointers), all of them comparable.
type Action interface{ action() }

// ConnectTailnet begins one attempt to reach the tailnet. It is answered by
// [TailnetConnected] or [TailnetError].
type ConnectTailnet struct{}

// ScheduleRetry sets a timer. It is answered by [RetryTimer].
type ScheduleRetry struct{ After time.Duration }

// FollowTailnet begins to watch the tailnet, or, if it is watched already,
// reports once more what is known. The reports are [TailnetLost] and
// [TailnetRestored]. It comes each time that a tailnet becomes required: on
// entering Starting, and after an [ApplyConfig] that requires one anew. No action
// takes it back: reports about a tailnet that is not required any more are ignored.
type FollowTailnet struct{}

// StartListeners opens the listeners, the gate still closed. It is answered by
// [ListenersReady] or [ListenerFailed]; a listener that dies later is reported by
// ListenerFailed too.
type StartListeners struct{}

// OpenGate lets requests in, once in a life. [CloseListeners] closes the gate again.
type OpenGate struct{}

// NotifyReady sends READY=1, after the start and after each reload; see
// sd_notify(3).
type NotifyReady struct{}

// NotifyReloading sends RELOADING=1 with MONOTONIC_USEC; see sd_notify(3).
// NotifyReady or NotifyStopping follows before it comes again.
type NotifyReloading struct{}

// NotifyStopping sends STOPPING=1; see sd_notify(3).
type NotifyStopping struct{}

// LoadConfig reads the configuration again and builds settings from it without
// applying them. It is answered by [ReloadDone] or [ReloadFailed].
type LoadConfig struct{}

// ApplyConfig puts the settings that LoadConfig built in force.
type ApplyConfig struct{}

// KeepConfig leaves the settings in force as they are, and says so.
type KeepConfig struct{}

// UpdateStatus sends STATUS= (see sd_notify(3)) and sets the gauges, both from
// the new State.
type UpdateStatus struct{}

// StartSuccessor begins a process of the installed program on our listeners. Its outcome
// is [SuccessorReady] or [SuccessorFailed].
type StartSuccessor struct{}

// StopSuccessor ends the process begun by [StartSuccessor], which is not in charge yet.
type StopSuccessor struct{}

// NotifyMainPID sends MAINPID= of the successor, see sd_notify(3), and asks systemd whether
// it supervises that process now. Its outcome is [SuccessorFollowed] or [SuccessorFailed].
type NotifyMainPID struct{}

// HandOver puts the successor in charge: it speaks to systemd from now on, and owns what
// there is only one of.
type HandOver struct{}

// BeginHandover lets what is in flight finish, for a limited time that is long. Its outcome
// is [Drained] or [HandoverTimeout].
type BeginHandover struct{}

// CloseListeners takes no more connections and closes the gate.
type CloseListeners struct{}

// BeginDrain lets what is in flight finish, for a limited time. It is answered
// by [Drained] or [DrainTimeout].
type BeginDrain struct{}

// ForceClose cuts what is still in flight.
type ForceClose struct{}

// Exit ends the process with Code, one of the Exit constants. Nothing follows.
type Exit struct{ Code int }

func (ConnectTailnet) action()  {}
func (ScheduleRetry) action()   {}
func (FollowTailnet) action()   {}
func (StartListeners) action()  {}
func (OpenGate) action()        {}
func (NotifyReady) action()     {}
func (NotifyReloading) action() {}
func (NotifyStopping) action()  {}
func (LoadConfig) action()      {}
func (ApplyConfig) action()     {}
func (KeepConfig) action()      {}
func (UpdateStatus) action()    {}
func (StartSuccessor) action()  {}
func (StopSuccessor) action()   {}
func (NotifyMainPID) action()   {}
func (HandOver) action()        {}
func (BeginHandover) action()   {}
func (CloseListeners) action()  {}
func (BeginDrain) action()      {}
func (ForceClose) action()      {}
func (Exit) action()            {}
