package lifecycle

import "strconv"

// Event is something that happened. The set is closed: the types in this file,
// as values (not pointers), all of them comparable.
type Event interface{ event() }

// ConfigLoaded reports that the first configuration is valid and in force.
type ConfigLoaded struct {
	TailnetRequired bool // serve only with a tailnet
	WaitWhenDown    bool // if it is down, wait for it; means nothing if not required
}

// ConfigFailed reports that the first configuration was refused.
type ConfigFailed struct{}

// TailnetConnected reports that the attempt begun by [ConnectTailnet] succeeded.
type TailnetConnected struct{}

// TailnetError reports that the attempt begun by [ConnectTailnet] failed.
type TailnetError struct{ Kind TailnetErrorKind }

// RetryTimer reports that the time set by [ScheduleRetry] has passed.
type RetryTimer struct{}

// ListenersReady reports that every listener of [StartListeners] is open.
type ListenersReady struct{}

// ListenerFailed reports that a listener of [StartListeners] could not be opened,
// or that it died while serving.
type ListenerFailed struct{}

// TailnetLost reports that the tailnet went away, or is away for a new reason.
type TailnetLost struct{}

// TailnetRestored reports that the tailnet is there, again or at last.
type TailnetRestored struct{}

// ReloadRequested asks for the configuration to be read again.
type ReloadRequested struct{}

// ReloadDone reports that [LoadConfig] built settings that may be applied.
type ReloadDone struct {
	TailnetRequired bool // as in [ConfigLoaded]
	WaitWhenDown    bool // likewise
}

// ReloadFailed reports that [LoadConfig] refused the configuration.
type ReloadFailed struct{}

// UpgradeRequested asks for the installed program to take over.
type UpgradeRequested struct{}

// SuccessorReady reports that the process begun by [StartSuccessor] serves.
type SuccessorReady struct{}

// SuccessorFollowed reports that systemd supervises the successor as the main process of the
// service.
type SuccessorFollowed struct{}

// SuccessorFailed reports that the process begun by [StartSuccessor] will not serve, or that
// systemd does not follow it. It has ended, or was never started.
type SuccessorFailed struct{}

// HandoverTimeout reports that the time for what was in flight at the hand-over is
// over.
type HandoverTimeout struct{}

// ShutdownSignal asks the daemon to stop; a second one, to stop at once.
type ShutdownSignal struct{}

// Drained reports that nothing is in flight any more after [BeginDrain] or
// [BeginHandover].
type Drained struct{}

// DrainTimeout reports that the time for the drain is over.
type DrainTimeout struct{}

func (ConfigLoaded) event()      {}
func (ConfigFailed) event()      {}
func (TailnetConnected) event()  {}
func (TailnetError) event()      {}
func (RetryTimer) event()        {}
func (ListenersReady) event()    {}
func (ListenerFailed) event()    {}
func (TailnetLost) event()       {}
func (TailnetRestored) event()   {}
func (ReloadRequested) event()   {}
func (ReloadDone) event()        {}
func (ReloadFailed) event()      {}
func (UpgradeRequested) event()  {}
func (SuccessorReady) event()    {}
func (SuccessorFollowed) event() {}
func (SuccessorFailed) event()   {}
func (HandoverTimeout) event()   {}
func (ShutdownSignal) event()    {}
func (Drained) event()           {}
func (DrainTimeout) event()      {}

// TailnetErrorKind says what kept an attempt from reaching the tailnet, as far
// as it decides what to do about it.
type TailnetErrorKind int

// The kinds of failed attempts. Only Retryable heals by itself soon; the others
// need somebody to act, so that trying again at once would be in vain.
const (
	Retryable        TailnetErrorKind = iota // tailscaled starts up, hangs, refuses, or says something unexpected
	NeedsLogin                               // the node must log in, or its key has expired
	NeedsMachineAuth                         // an admin of the tailnet must approve the node
	TailnetStopped                           // tailscaled was told to be down
	DaemonAbsent                             // there is no tailscaled
)

// String returns the kind in lower-case words, as in "needs login".
func (k TailnetErrorKind) String() string {
	switch k {
	case Retryable:
		return "retryable"
	case NeedsLogin:
		return "needs login"
	case NeedsMachineAuth:
		return "needs machine auth"
	case TailnetStopped:
		return "tailnet stopped"
	case DaemonAbsent:
		return "daemon absent"
	}
	return "tailnet error(" + strconv.Itoa(int(k)) + ")"
}
