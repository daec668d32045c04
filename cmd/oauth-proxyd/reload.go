package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"

	"oauth-proxyd/internal/admin"
)

func reload(e env, flags *flag.FlagSet) runner {
	dryRun := flags.Bool("dry-run", false, "only show what would change")
	asJSON, client := flags.Bool("json", false, "print JSON"), daemonFlag(flags)
	return func(string) int {
		request := func(ctx context.Context) (admin.ReloadOutcome, error) { return client.Reload(ctx, *dryRun) }
		o, code := ask(e, *asJSON, request, func(o admin.ReloadOutcome) { e.showOutcome(o, *client) })
		return cmp.Or(code, exitIf(o.Refused(), exitConfig))
	}
}

func (e env) showOutcome(o admin.ReloadOutcome, client admin.Client) {
	e.reportAll(o.Diagnostics)
	if o.Error != "" {
		e.failed(errors.New(o.Error), "")
	}
	if o.Refused() {
		fmt.Fprintln(e.stderr, "the current configuration is unchanged")
		return
	}
	for _, text := range o.Warnings {
		e.report("warning", text, "")
	}
	did, what := "a reload would change", ":"
	if o.Applied {
		did = "reloaded; changed"
	}
	if len(o.Changes) == 0 {
		what = " nothing"
	}
	fmt.Fprintln(e.stdout, did+what)
	for _, c := range o.Changes {
		restart := ""
		if c.NeedsRestart {
			s, _ := client.Status(context.Background()) // without it, the rest is true
			restart = " (needs a restart" + prefixed(": ", s.RestartWith) + ")"
		}
		fmt.Fprintf(e.stdout, "  %s: %s -> %s%s\n", c.Path, cmp.Or(c.Old, "(none)"), cmp.Or(c.New, "(none)"), restart)
	}
}

func upgrade(e env, flags *flag.FlagSet) runner {
	asJSON, client := flags.Bool("json", false, "print JSON"), daemonFlag(flags)
	return func(string) int {
		o, code := ask(e, *asJSON, client.Upgrade, func(o admin.UpgradeOutcome) {
			if o.Error != "" {
				s, _ := client.Status(context.Background()) // without it, the rest is true
				e.failed(errors.New("not upgraded: "+o.Error), "the running process is still in charge"+prefixed("; see the log of both: ", s.Log))
				return
			}
			fmt.Fprintf(e.stdout, "process %d serves now; the old process finishes its open requests\n", o.PID)
		})
		return cmp.Or(code, exitIf(o.Error != "", exitFailure))
	}
}
