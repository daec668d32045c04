package main

import (
	"cmp"
	"context"
	"flag"
	"math"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/daemon"
	"oauth-proxyd/internal/selftest"
	"oauth-proxyd/internal/term"
)

// selftestTimeout bounds the whole. All well, it takes a second.
const selftestTimeout = time.Minute

// runSelftest takes the configuration that serve would use through the real proxy,
// in front of a loopback upstream.
func runSelftest(e env, args []string) int {
	flags := flag.NewFlagSet("selftest", flag.ContinueOnError)
	flags.String("config", "", "the configuration `FILE`; default "+defaultConfig)
	asJSON := flags.Bool("json", false, "print the report as JSON")
	if exit, done := e.parse(flags, "[--config FILE] [--json]", args); done {
		return exit
	}
	path := e.configPath(flags)
	c, err := config.Load(path, e.environment()...)
	switch {
	case err != nil && *asJSON:
		return e.checkJSON(path, nil, err)
	case err != nil:
		e.showRefusal(err)
		return exitConfig
	}
	ctx, cancel := context.WithTimeout(context.Background(), selftestTimeout)
	defer cancel()
	report, err := selftest.Run(ctx, selftest.Config{Settings: c, Proxy: daemon.ProxySettings(c)})
	if err != nil {
		e.failed(err, "")
		return exitFailure
	}
	return e.showReport(path, report, *asJSON)
}

func (e env) showReport(path string, report *selftest.Report, asJSON bool) int {
	if asJSON {
		shown := struct {
			File string `json:"file"`
			*selftest.Report
		}{path, report}
		if !e.printJSON(shown) {
			return exitFailure
		}
	} else if err := report.WriteText(e.stdout, path, cmp.Or(term.NewPrinter(e.stdout).Width, math.MaxInt)); err != nil {
		e.failed(err, "")
		return exitFailure
	}
	if !report.OK {
		return exitFailure
	}
	return exitOK
}
