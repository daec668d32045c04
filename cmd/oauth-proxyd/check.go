package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/doctor"
	"oauth-proxyd/internal/systemd"
)

// serviceTimeout bounds the start and the check of the configuration in a service.
const serviceTimeout = time.Minute

// check validates the configuration as serve would read it. The service's user may not read what
// root can, so if root checks the service's file, the command runs once more, as that user:
//
//	oauth-proxyd check                                    as root
//	└── systemd-run … -- oauth-proxyd check --json        as User= and in the sandbox of the service
//
// The inner one has no root and starts no third. If it refuses the file, its result is shown.
func check(e env, flags *flag.FlagSet) runner {
	path := e.configFlag(flags)
	asJSON := flags.Bool("json", false, "print JSON")
	return func(string) int {
		c, err := e.loadConfig(*path)
		if err != nil {
			return e.refusedFile(*path, err, *asJSON)
		}
		result := checked{File: *path, Valid: true, Diagnostics: checkWarnings(c)}
		inService, err := checkInService(*path)
		if err != nil {
			result.Diagnostics = append(result.Diagnostics, config.Diagnostic{Severity: "warning", Summary: fmt.Sprintf("checked only as root: %v", err)})
		}
		if inService != nil && !inService.Valid {
			result = *inService
		}
		e.show(*asJSON, result, func() {
			e.reportAll(result.Diagnostics)
			if result.Valid {
				fmt.Fprintf(e.stdout, "%s is valid\n", *path)
			}
		})
		return exitIf(!result.Valid, exitConfig)
	}
}

// checked is what --json prints, and what the outer check reads from the inner one.
type checked struct {
	File        string              `json:"file"`
	Valid       bool                `json:"valid"`
	Diagnostics []config.Diagnostic `json:"diagnostics"`
}

func (e env) refusedFile(path string, err error, asJSON bool) int {
	e.show(asJSON, checked{File: path, Diagnostics: diagnosticsOf(err)}, func() { e.refused(err) })
	return exitConfig
}

// diagnosticsOf returns the reasons why a configuration could not be loaded.
func diagnosticsOf(err error) []config.Diagnostic {
	if refused, ok := errors.AsType[*config.Error](err); ok {
		return refused.Diagnostics()
	}
	return []config.Diagnostic{{Severity: "error", Summary: err.Error()}}
}

// checkInService checks the service's file as the service would. It returns nil for another file,
// for another user than root, and if systemd does not know the service.
func checkInService(path string) (*checked, error) {
	if path != defaultConfig || os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // not checked
	}
	ctx, cancel := context.WithTimeout(context.Background(), serviceTimeout)
	defer cancel()
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c, err := systemd.InService(ctx, systemd.ServiceUnit, program, "check", "--json")
	if c == nil {
		return nil, err
	}
	out, err := c.Output()
	var result checked
	if json.Unmarshal(out, &result) != nil {
		return nil, fmt.Errorf("running systemd-run: %w", err)
	}
	if !result.Valid {
		result.Diagnostics = append(result.Diagnostics, config.Diagnostic{
			Severity: "error", Summary: "only the service refuses its file",
			Detail: "see Environment=, User=, PrivateTmp= and ProtectHome= in `systemctl cat oauth-proxyd.service`",
		})
	}
	return &result, nil
}

// checkWarnings returns what cannot work in a valid configuration, on any host or on this one.
func checkWarnings(c *config.Config) (warnings []config.Diagnostic) {
	for _, text := range c.Warnings() {
		warnings = append(warnings, config.Diagnostic{Severity: "warning", Summary: text})
	}
	for _, f := range doctor.KeptOut(context.Background(), c) {
		warnings = append(warnings, config.Diagnostic{Severity: "warning", Summary: f.Seen, Detail: strings.Join(f.Fix, "\n")})
	}
	return warnings
}
