package lifecycle_test

import (
	"testing"

	"go.uber.org/goleak"

	. "oauth-proxyd/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// allPhases lists every phase, in order.
func allPhases() []Phase {
	var all []Phase
	for p := range Stopped + 1 {
		all = append(all, p)
	}
	return all
}

// allEvents lists every event with all facts that matter. The fuzzer's bytes number this list.
func allEvents() []Event {
	return []Event{
		ConfigLoaded{},
		ConfigLoaded{WaitWhenDown: true},
		ConfigLoaded{TailnetRequired: true},
		ConfigLoaded{TailnetRequired: true, WaitWhenDown: true},
		ConfigFailed{},
		TailnetConnected{},
		TailnetLost{Retry: true, ExitCode: ExitUnavailable},
		TailnetLost{ExitCode: ExitUnavailable},
		TailnetLost{ExitCode: ExitNoPerm},
		RetryTimer{},
		ListenersReady{},
		ListenerFailed{},
		ReloadRequested{},
		ReloadDone{},
		ReloadFailed{},
		ShutdownSignal{},
		Drained{},
		DrainTimeout{},
		ReloadDone{TailnetRequired: true},
		UpgradeRequested{},
		SuccessorReady{},
		SuccessorFailed{},
		HandoverTimeout{},
		SuccessorFollowed{},
	}
}
