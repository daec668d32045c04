package lifecycle

// Event is something that happened. All events are in this file. They are comparable values, not
// pointers.
type Event interface{ isEvent() }

type event struct{}

func (event) isEvent() {}

// The configuration.
type (
	// ConfigLoaded reports that the first configuration is valid and applied.
	ConfigLoaded struct {
		event
		TailnetRequired bool // serve only with a tailnet
		WaitWhenDown    bool // if it is down, start without it instead of retrying and exiting
	}
	// ConfigFailed reports that the first configuration was refused.
	ConfigFailed struct{ event }
	// ReloadRequested asks to read the configuration again.
	ReloadRequested struct{ event }
	// ReloadDone reports that [LoadConfig] built settings that can be applied.
	ReloadDone struct {
		event
		TailnetRequired bool // as in [ConfigLoaded]
	}
	// ReloadFailed reports that [LoadConfig] refused the configuration.
	ReloadFailed struct{ event }
)

// The tailnet and the listeners.
type (
	// TailnetConnected reports that the tailnet is connected.
	TailnetConnected struct{ event }
	// TailnetLost reports that the tailnet is not connected, as after a failed attempt of
	// [ConnectTailnet].
	TailnetLost struct {
		event
		Retry    bool // another attempt may succeed without a fix
		ExitCode int  // to exit with if there is no further attempt
	}
	// RetryTimer reports that the time of [ScheduleRetry] has passed.
	RetryTimer struct{ event }
	// ListenersReady reports that every listener is open.
	ListenersReady struct{ event }
	// ListenerFailed reports that a listener could not be opened, or that it died while serving.
	ListenerFailed struct{ event }
)

// An upgrade.
type (
	// UpgradeRequested asks to hand over to the installed program.
	UpgradeRequested struct{ event }
	// SuccessorReady reports that the process that [StartSuccessor] started is ready to serve.
	SuccessorReady struct{ event }
	// SuccessorFollowed reports that systemd supervises the successor as the service's main
	// process, and that it serves.
	SuccessorFollowed struct{ event }
	// SuccessorFailed reports that there is no successor: it did not start, it exited, or it was
	// ended because systemd does not supervise it.
	SuccessorFailed struct{ event }
	// HandoverTimeout reports that handover_timeout has passed since [BeginHandover], and that
	// requests are in flight.
	HandoverTimeout struct{ event }
)

// Shutdown.
type (
	// ShutdownSignal asks the daemon to stop; a second one asks it to cut the requests in flight.
	ShutdownSignal struct{ event }
	// Drained reports that no request is in flight any more after [BeginDrain] or [BeginHandover].
	Drained struct{ event }
	// DrainTimeout reports that drain_timeout has passed since [BeginDrain], and that requests are
	// in flight.
	DrainTimeout struct{ event }
)
