package main

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"oauth-proxyd/internal/admin"
)

// upgradeTimeout bounds the wait for the outcome. The daemon gives the new process half of it.
const upgradeTimeout = time.Minute

// upgrade makes the running daemon hand over to the installed program, and reports the outcome.
func upgrade(e env, flags *flag.FlagSet) runner {
	asJSON, client := flags.Bool("json", false, "print the outcome as JSON"), daemonFlag(flags)
	text := func(o admin.UpgradeOutcome) {
		if o.Error != "" {
			e.failed(errors.New("not upgraded: "+o.Error), "the running process is still in charge; the log of both: journalctl -u oauth-proxyd")
			return
		}
		fmt.Fprintf(e.stdout, "process %d serves now; the old process finishes its open requests\n", o.PID)
	}
	return func(string) int {
		return ask(e, *asJSON, upgradeTimeout, client().Upgrade, text, func(o admin.UpgradeOutcome) int {
			return exitIf(o.Error != "", exitFailure)
		})
	}
}
