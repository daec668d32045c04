package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"oauth-proxyd/internal/daemon"
)

// upgradeTimeout bounds the wait for the outcome. The new process has half of it to
// serve.
const upgradeTimeout = time.Minute

// upgrade has the running daemon start the installed program in its place, and reports
// how that ended.
func upgrade(e env, args []string) int {
	flags := flag.NewFlagSet("upgrade", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "print the outcome as JSON")
	if exit, done := e.parse(flags, "[--json]", args); done {
		return exit
	}
	ctx, cancel := context.WithTimeout(context.Background(), upgradeTimeout)
	defer cancel()
	outcome, err := daemon.RequestUpgrade(ctx)
	if err != nil {
		return e.unreachable(err)
	}
	switch {
	case *asJSON:
		if !e.printJSON(outcome) {
			return exitFailure
		}
	case outcome.Error != "":
		e.failed(errors.New("not upgraded: "+outcome.Error), "the running process is still in charge; the log of both: journalctl -u oauth-proxyd")
	default:
		fmt.Fprintf(e.stdout, "process %d serves now; the one before finishes what it has\n", outcome.PID)
	}
	if outcome.Error != "" {
		return exitFailure
	}
	return exitOK
}
