package lifecycle_test

import (
	"fmt"
	"testing"

	. "oauth-proxyd/internal/lifecycle"
)

// The words are what STATUS=, the status command and a metric's label show.
func TestNamesShownToUsers(t *testing.T) {
	tests := []struct {
		value fmt.Stringer
		want  string
	}{
		{Initializing, "initializing"},
		{ConnectingTailnet, "connecting-tailnet"},
		{Retrying, "error"},
		{Starting, "starting"},
		{Running, "running"},
		{HandingOver, "handing-over"},
		{Draining, "draining"},
		{Stopped, "stopped"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := tt.value.String(); got != tt.want {
				t.Errorf("String() = %q, want %q", got, tt.want)
			}
		})
	}
}

// A unit file and a man page name these numbers.
func TestExitCodes(t *testing.T) {
	tests := []struct {
		name      string
		got, want int
	}{
		{"ok", ExitOK, 0},
		{"internal", ExitInternal, 1},
		{"unavailable", ExitUnavailable, 69},
		{"drain cut", ExitDrainCut, 75},
		{"no permission", ExitNoPerm, 77},
		{"config", ExitConfig, 78},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("code is %d, want %d", tt.got, tt.want)
			}
		})
	}
}
