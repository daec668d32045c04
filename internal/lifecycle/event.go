package lifecycle

// Event is something that happened. The set is closed: the types in this file, as values (not
// pointers), all of them comparable.
type Event interface{ isEvent() }

type event struct{}

func (event) isEvent() {}

// What becomes of the configuration.
type (
	// ConfigLoaded reports that the first configuration is valid and in force.
	ConfigLoaded struct {
		event
		TailnetRequired bool // serve only with a tailnet
		WaitWhenDown    bool // if it is down, start without it instead of retrying and leaving
	}
	// ConfigFailed reports that the first configuration was refused.
	ConfigFailed struct{ event }
	// ReloadRequested asks for the configuration to be read again.
	ReloadRequested struct{ event }
	// ReloadDone reports that [LoadConfig] built settings that may be applied.
	ReloadDone struct {
		event
		TailnetRequired bool // as in [ConfigLoaded]
	}
	// ReloadFailed reports that [LoadConfig] refused the configuration.
	ReloadFailed struct{ event }
)

// What becomes of the tailnet and the listeners.
type (
	// TailnetConnected reports that the attempt of [ConnectTailnet] succeeded.
	TailnetConnected struct{ event }
	// TailnetError reports that the attempt of [ConnectTailnet] failed.
	TailnetError struct {
		event
		Retry    bool // another attempt may succeed without anybody's doing
		ExitCode int  // to leave with if it is not retried, or not again
	}
	// RetryTimer reports that the time of [ScheduleRetry] has passed.
	RetryTimer struct{ event }
	// TailnetLost reports that the tailnet went away, or is away for another reason.
	TailnetLost struct{ event }
	// TailnetRestored reports that the tailnet is there, again or at last.
	TailnetRestored struct{ event }
	// ListenersReady reports that every listener is open.
	ListenersReady struct{ event }
	// ListenerFailed reports that a listener could not be opened, or that it died while serving.
	ListenerFailed struct{ event }
)

// What becomes of an upgrade.
type (
	// UpgradeRequested asks for the installed program to take over.
	UpgradeRequested struct{ event }
	// SuccessorReady reports that the process of [StartSuccessor] is ready to serve.
	SuccessorReady struct{ event }
	// SuccessorFollowed reports that systemd supervises the successor as the service's main
	// process, and that it serves.
	SuccessorFollowed struct{ event }
	// SuccessorFailed reports that there is no successor: it was not started, it has ended, or it
	// was ended because systemd does not follow it.
	SuccessorFailed struct{ event }
	// HandoverTimeout reports that the time of [BeginHandover] is over.
	HandoverTimeout struct{ event }
)

// How it ends.
type (
	// ShutdownSignal asks the daemon to stop; a second one, to stop at once.
	ShutdownSignal struct{ event }
	// Drained reports that nothing is in flight any more after [BeginDrain] or [BeginHandover].
	Drained struct{ event }
	// DrainTimeout reports that the time of [BeginDrain] is over.
	DrainTimeout struct{ event }
)
