package siege_test

import (
	"os"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/siege"
)

const unit = "../../../packaging/systemd/oauth-proxyd.service"

// TestMain puts the binary into the PATH of all tests.
func TestMain(m *testing.M) { os.Exit(daemontest.Main(m)) }

// TestAttacks proves that the daemon keeps its promises under each attack, in seconds. Those that
// work a processor hard have it to themselves.
func TestAttacks(t *testing.T) {
	config := siege.Config{Program: "oauth-proxyd", Timing: siege.ShortTiming()}
	var err error
	if config.Limits, err = siege.ReadUnit(unit); err != nil {
		t.Fatal(err)
	}
	if err := siege.Confinable(config.Limits); err != nil {
		t.Logf("!!! no control group: the limits of the unit are NOT TESTED: %v", err)
	} else {
		config.Confined = true
	}
	turns := make(chan struct{}, 4) // as many attacks at once leave bystanders alone
	for _, attack := range siege.Attacks() {
		t.Run(string(attack.Who)+"/"+attack.Name, func(t *testing.T) {
			if attack.Quiet {
				t.Parallel()
				turns <- struct{}{}
				defer func() { <-turns }()
			}
			result, err := siege.Run(t.Context(), config, attack)
			if err != nil {
				t.Fatal(err)
			}
			for _, fault := range result.Faults() {
				t.Error(fault)
			}
			t.Logf("memory %v, at most %v, then %v; client %v ms, /health %v ms, machine %v ms; slots free after %v",
				result.Before, result.Max, result.After, result.Client, result.Health, result.Control, result.SlotsAfter)
		})
	}
}
