package main

import (
	"context"
	"flag"
	"time"

	"oauth-proxyd/internal/selftest"
	"oauth-proxyd/internal/term"
)

// selftestTimeout bounds all tests, which take about a second.
const selftestTimeout = time.Minute

// runSelftest tests the configuration that serve would use with the real proxy and a mock API.
func runSelftest(e env, flags *flag.FlagSet) runner {
	path := e.configFlag(flags)
	return func(string) int {
		c, err := e.loadConfig(*path)
		if err != nil {
			return e.refusedFile(*path, err, false)
		}
		ctx, cancel := context.WithTimeout(context.Background(), selftestTimeout)
		defer cancel()
		report, err := selftest.Run(ctx, c)
		if err != nil {
			e.failed(err, "")
			return exitFailure
		}
		report.WriteText(term.NewPrinter(e.stdout), *path)
		return exitIf(!report.OK, exitFailure)
	}
}
