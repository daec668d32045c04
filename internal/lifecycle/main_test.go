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

// allEvents lists every event with every content, one unknown kind of error
// included. The fuzzer's corpus is numbered by this list: add at its end.
func allEvents() []Event {
	return []Event{
		ConfigLoaded{},
		ConfigLoaded{WaitWhenDown: true},
		ConfigLoaded{TailnetRequired: true},
		ConfigLoaded{TailnetRequired: true, WaitWhenDown: true},
		ConfigFailed{},
		TailnetConnected{},
		TailnetError{Kind: Retryable},
		TailnetError{Kind: NeedsLogin},
		TailnetError{Kind: NeedsMachineAuth},
		TailnetError{Kind: TailnetStopped},
		TailnetError{Kind: DaemonAbsent},
		TailnetError{Kind: DaemonAbsent + 1},
		RetryTimer{},
		ListenersReady{},
		ListenerFailed{},
		TailnetLost{},
		TailnetRestored{},
		ReloadRequested{},
		ReloadDone{},
		ReloadFailed{},
		ShutdownSignal{},
		Drained{},
		DrainTimeout{},
		ReloadDone{WaitWhenDown: true},
		ReloadDone{TailnetRequired: true},
		ReloadDone{TailnetRequired: true, WaitWhenDown: true},
		UpgradeRequested{},
		SuccessorReady{},
		SuccessorFailed{},
		HandoverTimeout{},
		SuccessorFollowed{},
	}
}
