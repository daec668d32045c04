package lifecycle

import (
	"cmp"
	"time"
)

// Step returns the state after e and the actions to perform, in order. It is pure: the same
// arguments give the same results. For an event without a rule in the current phase it returns s
// and no actions.
func Step(s State, e Event) (State, []Action) {
	switch in := s.Phase; e := e.(type) {
	case ConfigLoaded:
		if in == Initializing {
			return configured(s, e)
		}
	case ConfigFailed:
		if in == Initializing {
			return stop(s, ExitConfig)
		}
	case TailnetConnected:
		if in == ConnectingTailnet {
			return start(s, TailnetUp)
		}
		return observe(s, TailnetUp)
	case TailnetLost:
		if in == ConnectingTailnet || in == Retrying && s.WaitWhenDown {
			return unreachable(s, e)
		}
		return observe(s, TailnetDown)
	case RetryTimer:
		if in == Retrying {
			return enter(s, ConnectingTailnet, ConnectTailnet{})
		}
	case ListenersReady:
		if in == Starting {
			s, actions := enter(s, Running, OpenGate{}, NotifyReady{})
			return beginPending(s, actions...)
		}
	case ListenerFailed:
		if in == Starting {
			return stop(s, ExitInternal)
		} else if in == Running {
			return drain(s, ExitInternal)
		}
	case ReloadRequested:
		s.ReloadPending = in <= Running
		return beginPending(s)
	case UpgradeRequested:
		s.UpgradePending = in <= Running && !s.IsUpgrading()
		return beginPending(s)
	case ShutdownSignal:
		return shutdown(s)
	case Drained:
		if in == HandingOver || in == Draining {
			return stop(s, s.ExitCode)
		}
	case HandoverTimeout:
		if in == HandingOver {
			return cut(s)
		}
	case DrainTimeout:
		if in == Draining {
			return cut(s)
		}
	default:
		return change(s, e)
	}
	return s, nil
}

// configured connects to the tailnet if it is required, and otherwise starts.
func configured(s State, e ConfigLoaded) (State, []Action) {
	if !e.TailnetRequired {
		return start(s, TailnetDisabled)
	}
	s.WaitWhenDown = e.WaitWhenDown
	return enter(s, ConnectingTailnet, ConnectTailnet{})
}

// start opens the listeners, and follows the tailnet if it is required.
func start(s State, t Tailnet) (State, []Action) {
	s.Tailnet = t
	if !s.TailnetRequired() {
		return enter(s, Starting, StartListeners{})
	}
	return enter(s, Starting, StartListeners{}, FollowTailnet{})
}

// unreachable starts without the tailnet, schedules the next attempt with a doubled delay, or
// exits.
func unreachable(s State, e TailnetLost) (State, []Action) {
	if s.WaitWhenDown {
		return start(s, TailnetDown)
	}
	s.Tailnet = TailnetDown
	if !e.Retry || s.Retries == MaxRetries {
		return stop(s, e.ExitCode)
	}
	after := time.Second << s.Retries
	s.Retries++
	return enter(s, Retrying, ScheduleRetry{After: after})
}

// observe records a report about the tailnet. A repeated report updates the status, too, because
// the reason that it shows may have changed.
func observe(s State, t Tailnet) (State, []Action) {
	if s.Phase < Starting || s.Phase == Stopped || !s.TailnetRequired() {
		return s, nil
	}
	s.Tailnet = t
	return s, []Action{UpdateStatus{}}
}

// beginPending starts the reload or upgrade that was requested, if the daemon is running and no
// change is under way. A reload goes first, because the successor reads the same file.
func beginPending(s State, actions ...Action) (State, []Action) {
	switch {
	case s.Phase != Running || s.Change != NoChange:
	case s.ReloadPending:
		s.Change, s.ReloadPending = Reloading, false
		actions = append(actions, NotifyReloading{}, LoadConfig{})
	case s.UpgradePending:
		s.Change, s.UpgradePending = Upgrading, false
		actions = append(actions, StartSuccessor{})
	}
	return s, actions
}

// change continues the reload or the upgrade under way. Until the successor serves and systemd
// supervises it, every failure leaves this process in charge. After that a pending reload is
// dropped, because the successor has just read the configuration.
func change(s State, e Event) (State, []Action) {
	switch under := s.Change; e := e.(type) {
	case ReloadDone:
		if under == Reloading {
			return apply(s, e)
		}
	case ReloadFailed:
		if under == Reloading {
			s.Change = NoChange
			return beginPending(s, KeepConfig{}, NotifyReady{}, UpdateStatus{})
		}
	case SuccessorReady:
		if under == Upgrading {
			s.Change = Announcing
			return s, []Action{NotifyMainPID{}}
		}
	case SuccessorFollowed:
		if under == Announcing {
			return enter(s, HandingOver, HandOver{}, CloseListeners{}, BeginHandover{})
		}
	case SuccessorFailed:
		if s.IsUpgrading() {
			s.Change = NoChange
			return beginPending(s, StayInCharge{}, UpdateStatus{})
		}
	}
	return s, nil
}

// apply ends a reload with the new settings. A tailnet that is newly required is unknown until the
// first report, because earlier ones were ignored.
func apply(s State, e ReloadDone) (State, []Action) {
	actions := []Action{ApplyConfig{}}
	switch {
	case !e.TailnetRequired:
		s.Tailnet = TailnetDisabled
	case !s.TailnetRequired():
		s.Tailnet = TailnetUnknown
		actions = append(actions, FollowTailnet{})
	}
	s.Change = NoChange
	return beginPending(s, append(actions, NotifyReady{}, UpdateStatus{})...)
}

func shutdown(s State) (State, []Action) {
	switch s.Phase {
	case Running:
		return drain(s, ExitOK)
	case HandingOver:
		return enter(s, Draining, BeginDrain{})
	case Draining:
		return cut(s)
	case Stopped:
		return s, nil
	}
	return stop(s, ExitOK, NotifyStopping{})
}

// drain stops accepting, and exits with code when no request is in flight any more.
func drain(s State, code int) (State, []Action) {
	s.ExitCode = code
	return enter(s, Draining, NotifyStopping{}, CloseListeners{}, BeginDrain{})
}

// cut ends the requests in flight. If a failed listener caused the drain, its exit code stays:
// systemd may count a cut as a clean stop, but not a failed listener.
func cut(s State) (State, []Action) { return stop(s, cmp.Or(s.ExitCode, ExitDrainCut), ForceClose{}) }

// stop ends the daemon. It shows the status before the exit, which is the last action.
func stop(s State, code int, actions ...Action) (State, []Action) {
	s.ExitCode = code
	s, actions = enter(s, Stopped, actions...)
	return s, append(actions, Exit{Code: code})
}

// enter moves to another phase with actions, and shows it. Leaving Running drops reloads and
// upgrades, under way or pending.
func enter(s State, p Phase, actions ...Action) (State, []Action) {
	s.Phase = p
	if p > Running {
		s.Change, s.ReloadPending, s.UpgradePending = NoChange, false, false
	}
	return s, append(actions, UpdateStatus{})
}
