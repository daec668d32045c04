package main

import (
	"errors"
	"flag"
	"fmt"

	"oauth-proxyd/internal/config"
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
	var unmatched []string
	if err == nil {
		unmatched = c.Unmatched()
	}
	if *asJSON {
		return e.checkJSON(path, unmatched, err)
	}
	if err != nil {
		e.showRefusal(err)
		return exitConfig
	}
	for _, text := range unmatched {
		fmt.Fprintf(e.stderr, "warning: %s\n", text)
	}
	fmt.Fprintf(e.stdout, "%s is valid\n", path)
	return exitOK
}

func (e env) checkJSON(path string, unmatched []string, err error) int {
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
	for _, text := range unmatched {
		result.Diagnostics = append(result.Diagnostics, config.Diagnostic{Severity: "warning", Summary: text})
	}
	if !e.printJSON(result) {
		return exitFailure
	}
	if err != nil {
		return exitConfig
	}
	return exitOK
}
