package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/doctor"
)

// check validates the configuration as serve would read it.
func check(e env, flags *flag.FlagSet) runner {
	configFlag(flags)
	asJSON := flags.Bool("json", false, "print the findings as JSON")
	return func(string) int {
		path := e.configPath(flags)
		c, err := e.loadConfig(path)
		if err != nil {
			return e.refusedFile(path, err, *asJSON)
		}
		warnings := checkWarnings(c)
		return e.show(*asJSON, checked{File: path, Valid: true, Diagnostics: warnings}, func() {
			for _, w := range warnings {
				e.report(w.Severity, w.Summary, w.Detail)
			}
			fmt.Fprintf(e.stdout, "%s is valid\n", path)
		})
	}
}

// checked is the result in JSON.
type checked struct {
	File        string              `json:"file"`
	Valid       bool                `json:"valid"`
	Diagnostics []config.Diagnostic `json:"diagnostics"`
}

// refusedFile shows everything that is wrong with the file.
func (e env) refusedFile(path string, err error, asJSON bool) int {
	diagnostics := []config.Diagnostic{{Severity: "error", Summary: err.Error()}}
	if refused, ok := errors.AsType[*config.Error](err); ok {
		diagnostics = refused.Diagnostics()
	}
	if code := e.show(asJSON, checked{File: path, Diagnostics: diagnostics}, func() { e.refused(err) }); code != exitOK {
		return code
	}
	return exitConfig
}

// checkWarnings are what a valid configuration holds that cannot work, on any host or on this one.
func checkWarnings(c *config.Config) []config.Diagnostic {
	warnings := []config.Diagnostic{}
	for _, text := range c.Warnings() {
		warnings = append(warnings, config.Diagnostic{Severity: "warning", Summary: text})
	}
	findings := doctor.KeptOut(context.Background(), c)
	for _, f := range append(findings, doctor.LostSockets(context.Background())...) {
		warnings = append(warnings, config.Diagnostic{Severity: "warning", Summary: f.Seen, Detail: strings.Join(f.Fix, "\n")})
	}
	return warnings
}
