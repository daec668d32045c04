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
func check(e env, args []string) int {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.String("config", "", "the configuration `FILE`; default "+defaultConfig)
	asJSON := flags.Bool("json", false, "print the findings as JSON")
	if exit, done := e.parse(flags, "[--config FILE] [--json]", args); done {
		return exit
	}
	path := e.configPath(flags)
	c, err := config.Load(path, e.environment()...)
	var warnings []config.Diagnostic
	if err == nil {
		warnings = e.checkWarnings(c)
	}
	if *asJSON {
		return e.checkJSON(path, warnings, err)
	}
	if err != nil {
		e.showRefusal(err)
		return exitConfig
	}
	for _, w := range warnings {
		e.showWarning(w)
	}
	fmt.Fprintf(e.stdout, "%s is valid\n", path)
	return exitOK
}

// checkWarnings are what a valid configuration holds that cannot work, on any host or on
// this one.
func (e env) checkWarnings(c *config.Config) []config.Diagnostic {
	var warnings []config.Diagnostic
	for _, text := range c.Warnings() {
		warnings = append(warnings, config.Diagnostic{Severity: "warning", Summary: text})
	}
	for _, f := range doctor.KeptOut(context.Background(), c) {
		warnings = append(warnings, config.Diagnostic{Severity: "warning", Summary: f.Seen, Detail: strings.Join(f.Mend, "\n")})
	}
	return warnings
}

func (e env) showWarning(w config.Diagnostic) {
	fmt.Fprintf(e.stderr, "warning: %s\n", w.Summary)
	if w.Detail != "" {
		fmt.Fprintf(e.stderr, "hint: %s\n", strings.ReplaceAll(w.Detail, "\n", "\n  "))
	}
}

func (e env) checkJSON(path string, warnings []config.Diagnostic, err error) int {
	result := struct {
		File        string              `json:"file"`
		Valid       bool                `json:"valid"`
		Diagnostics []config.Diagnostic `json:"diagnostics"`
	}{File: path, Valid: err == nil, Diagnostics: []config.Diagnostic{}}
	if refused, ok := errors.AsType[*config.Error](err); ok {
		result.Diagnostics = refused.Diagnostics()
	} else if err != nil {
		result.Diagnostics = append(result.Diagnostics, config.Diagnostic{Severity: "error", Summary: err.Error()})
	}
	result.Diagnostics = append(result.Diagnostics, warnings...)
	if !e.printJSON(result) {
		return exitFailure
	}
	if err != nil {
		return exitConfig
	}
	return exitOK
}
