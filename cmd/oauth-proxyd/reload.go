package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
)

// reloadTimeout bounds the wait for the outcome. systemd's own limit for a reload is longer.
const reloadTimeout = 30 * time.Second

// reload makes the running daemon reload its configuration, and reports the outcome.
func reload(e env, flags *flag.FlagSet) runner {
	dryRun := flags.Bool("dry-run", false, "only show what would change")
	asJSON, client := flags.Bool("json", false, "print the outcome as JSON"), daemonFlag(flags)
	return func(string) int {
		request := func(ctx context.Context) (admin.ReloadOutcome, error) { return client().Reload(ctx, *dryRun) }
		return ask(e, *asJSON, reloadTimeout, request, e.showOutcome, func(o admin.ReloadOutcome) int {
			return exitIf(o.Refused(), exitConfig)
		})
	}
}

func (e env) showOutcome(o admin.ReloadOutcome) {
	for _, d := range o.Diagnostics { // without the lines of the file, which the daemon read
		e.report("error", d.Where()+": "+d.Summary, d.Detail)
	}
	if o.Error != "" {
		e.failed(errors.New(o.Error), "")
	}
	if o.Refused() {
		fmt.Fprintln(e.stderr, "the current configuration is unchanged")
		return
	}
	switch {
	case o.Applied && len(o.Changes) == 0:
		fmt.Fprintln(e.stdout, "reloaded; nothing changed")
	case o.Applied:
		fmt.Fprintln(e.stdout, "reloaded; changed:")
	case len(o.Changes) == 0:
		fmt.Fprintln(e.stdout, "a reload would change nothing")
	default:
		fmt.Fprintln(e.stdout, "a reload would change:")
	}
	for _, text := range o.Warnings {
		e.report("warning", text, "")
	}
	for _, c := range o.Changes {
		fmt.Fprintf(e.stdout, "  %s: %s -> %s%s\n", c.Path, orNone(c.Old), orNone(c.New), restartHint(c))
	}
}

func orNone(value string) string {
	if value == "" {
		return "(none)"
	}
	return value
}

func restartHint(c config.Change) string {
	if c.NeedsRestart {
		return " (needs a restart: systemctl restart oauth-proxyd)"
	}
	return ""
}
