package lifecycle

import (
	"cmp"
	"time"
)

// Step returns the state after e and what to do about it, in order. It is pure:
// the same arguments give the same results, and neither is changed. A pair of
// phase and event that has no rule gives s back unchanged and no actions.
func Step(s State, e Event) (State, []Action) {
	switch s.Phase {
	case Initializing, ConnectingTailnet, Error, Starting:
		return booting(s, e)
	case Running:
		return running(s, e)
	case HandingOver:
		return handingOver(s, e)
	case Draining:
		return draining(s, e)
	}
	return s, nil
}

// booting holds what is the same in every phase before Running.
func booting(s State, e Event) (State, []Action) {
	switch e.(type) {
	case ReloadRequested:
		s.ReloadPending = true
		return s, nil
	case ShutdownSignal:
		return stop(s, ExitOK, NotifyStopping{})
	}
	switch s.Phase {
	case Initializing:
		return initializing(s, e)
	case ConnectingTailnet, Error:
		return connecting(s, e)
	default:
		return starting(s, e)
	}
}

func initializing(s State, e Event) (State, []Action) {
	switch e := e.(type) {
	case ConfigLoaded:
		s = configure(s, e)
		if !s.Required {
			return enter(s, Starting, StartListeners{})
		}
		return enter(s, ConnectingTailnet, ConnectTailnet{})
	case ConfigFailed:
		return stop(s, ExitConfig)
	}
	return s, nil
}

// configure takes over what a configuration says of the tailnet.
func configure(s State, c ConfigLoaded) State {
	s.Required = c.TailnetRequired
	s.WaitWhenDown = c.TailnetRequired && c.WaitWhenDown
	if !s.Required {
		s.Tailnet = TailnetDisabled
	}
	return s
}

// connecting is ConnectingTailnet, where an attempt is under way, and Error,
// where the next one waits for its timer.
func connecting(s State, e Event) (State, []Action) {
	attempting := s.Phase == ConnectingTailnet
	switch e := e.(type) {
	case TailnetConnected:
		if attempting {
			s.Tailnet = TailnetUp
			return enter(s, Starting, StartListeners{}, FollowTailnet{})
		}
	case TailnetError:
		if s.WaitWhenDown {
			s.Tailnet = TailnetDown
			return enter(s, Starting, StartListeners{}, FollowTailnet{})
		}
		if attempting {
			s.Tailnet = TailnetDown
			return retry(s, e.Kind)
		}
	case RetryTimer:
		if !attempting {
			return enter(s, ConnectingTailnet, ConnectTailnet{})
		}
	}
	return s, nil
}

// retry tries again later, twice as late each time, what may heal by itself,
// and leaves for all else. A kind that it does not know may heal.
func retry(s State, kind TailnetErrorKind) (State, []Action) {
	switch kind {
	case NeedsLogin, NeedsMachineAuth:
		return stop(s, ExitNoPerm)
	case TailnetStopped, DaemonAbsent:
		return stop(s, ExitUnavailable)
	}
	if s.Retries == MaxRetries {
		return stop(s, ExitUnavailable)
	}
	after := time.Second << s.Retries
	s.Retries++
	return enter(s, Error, ScheduleRetry{After: after})
}

func starting(s State, e Event) (State, []Action) {
	switch e.(type) {
	case ListenersReady:
		s, actions := enter(s, Running, OpenGate{}, NotifyReady{})
		return whatIsPending(s, actions)
	case ListenerFailed:
		return stop(s, ExitInternal)
	}
	return observe(s, e)
}

func running(s State, e Event) (State, []Action) {
	switch e := e.(type) {
	case ReloadRequested:
		s.ReloadPending = true
		return whatIsPending(s, nil)
	case UpgradeRequested:
		s.UpgradePending = !s.Upgrading
		return whatIsPending(s, nil)
	case SuccessorReady, SuccessorFollowed, SuccessorFailed:
		if s.Upgrading {
			return upgrading(s, e)
		}
	case ReloadDone:
		if s.Reloading {
			return applied(s, e)
		}
	case ReloadFailed:
		if s.Reloading {
			return reloaded(s, KeepConfig{})
		}
	case ListenerFailed:
		return drain(s, ExitInternal)
	case ShutdownSignal:
		return drain(s, ExitOK)
	}
	return observe(s, e)
}

// upgrading brings up a successor. Nothing is given up before the successor has said that
// it serves and systemd that it follows; until then every failure leaves this process in
// charge.
func upgrading(s State, e Event) (State, []Action) {
	switch e.(type) {
	case SuccessorReady:
		if !s.Announced {
			s.Announced = true
			return s, []Action{NotifyMainPID{}}
		}
	case SuccessorFollowed:
		if s.Announced {
			// The successor serves a reload that was asked for meanwhile: it has just
			// read the configuration.
			return enter(forget(s), HandingOver, HandOver{}, CloseListeners{}, BeginHandover{})
		}
	case SuccessorFailed:
		s.Upgrading, s.Announced = false, false
		return whatIsPending(s, []Action{UpdateStatus{}})
	}
	return s, nil
}

// handingOver is a process that has a successor. Nobody but a reader of the log sees its
// exit code.
func handingOver(s State, e Event) (State, []Action) {
	switch e.(type) {
	case Drained:
		return stop(s, ExitOK)
	case HandoverTimeout:
		return stop(s, ExitDrainCut, ForceClose{})
	case ShutdownSignal:
		return enter(s, Draining, BeginDrain{})
	}
	return observe(s, e)
}

// drain ends the serving, to leave with code when nothing is in flight any more.
func drain(s State, code int) (State, []Action) {
	actions := []Action{NotifyStopping{}, CloseListeners{}, BeginDrain{}}
	if s.Upgrading {
		actions = append([]Action{StopSuccessor{}}, actions...)
	}
	s = forget(s)
	s.ExitCode = code
	return enter(s, Draining, actions...)
}

// draining keeps the code of a failure that began the drain even if the drain is
// cut short: a cut alone may count as a clean stop, a dead listener must not.
func draining(s State, e Event) (State, []Action) {
	switch e.(type) {
	case Drained:
		return stop(s, s.ExitCode)
	case DrainTimeout, ShutdownSignal:
		return stop(s, cmp.Or(s.ExitCode, ExitDrainCut), ForceClose{})
	}
	return observe(s, e)
}

// observe keeps the facts about a tailnet that is followed. A repeated report
// updates the status too: the reason that it shows may have changed.
func observe(s State, e Event) (State, []Action) {
	if !s.Required {
		return s, nil
	}
	switch e.(type) {
	case TailnetLost:
		s.Tailnet = TailnetDown
	case TailnetRestored:
		s.Tailnet = TailnetUp
	default:
		return s, nil
	}
	return s, []Action{UpdateStatus{}}
}

// whatIsPending begins a reload or an upgrade after what is already to be done, if one
// was asked for and neither is under way. A reload goes first: the successor reads the
// same file.
func whatIsPending(s State, actions []Action) (State, []Action) {
	switch {
	case s.Reloading, s.Upgrading:
		return s, actions
	case s.ReloadPending:
		s.Reloading, s.ReloadPending = true, false
		return s, append(actions, NotifyReloading{}, LoadConfig{})
	case s.UpgradePending:
		s.Upgrading, s.UpgradePending = true, false
		return s, append(actions, StartSuccessor{})
	}
	return s, actions
}

// applied ends the reload under way with new settings. A tailnet that they newly
// require is unknown until the first report: while it was not required, reports
// were ignored, so that whatever was known before may have changed.
func applied(s State, e ReloadDone) (State, []Action) {
	followed := s.Required
	s = configure(s, ConfigLoaded(e))
	if s.Required && !followed {
		s.Tailnet = TailnetUnknown
		return reloaded(s, ApplyConfig{}, FollowTailnet{})
	}
	return reloaded(s, ApplyConfig{})
}

// reloaded ends the reload under way with its outcome; READY=1 is due after a
// refused one too, because the daemon serves on.
func reloaded(s State, outcome ...Action) (State, []Action) {
	s.Reloading = false
	return whatIsPending(s, append(outcome, NotifyReady{}, UpdateStatus{}))
}

// forget drops reloads and upgrades, the ones under way included.
func forget(s State) State {
	s.Reloading, s.ReloadPending = false, false
	s.Upgrading, s.Announced, s.UpgradePending = false, false, false
	return s
}

// enter moves to another phase, does what that takes, and shows it.
func enter(s State, p Phase, actions ...Action) (State, []Action) {
	s.Phase = p
	return s, append(actions, UpdateStatus{})
}

// stop ends the life of the daemon. The status is shown before the exit, which
// is the last action of all.
func stop(s State, code int, actions ...Action) (State, []Action) {
	s = forget(s)
	s.ExitCode = code
	s, actions = enter(s, Stopped, actions...)
	return s, append(actions, Exit{Code: code})
}
