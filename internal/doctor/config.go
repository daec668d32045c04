package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
)

// oauthBeta is the feature without which the API refuses a subscription's token.
const oauthBeta = "oauth-2025-04-20"

// mergeRule adds it.
const mergeRule = "header \"anthropic-beta\" {\n  value = \"" + oauthBeta + "\"\n  mode  = \"merge\"\n}"

func checkConfig(ctx context.Context, x *facts) []Finding {
	settings, err := x.Load()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return []Finding{unknown("%s may not be read by this user", x.File).fix("sudo oauth-proxyd doctor")}
	case err != nil:
		x.refused = true
		return []Finding{refused(x.File, err)}
	}
	x.settings = settings
	found := []Finding{ok("%s is valid", x.File)}
	for _, text := range x.settings.Warnings() {
		found = append(found, warn("%s", text).fix("oauth-proxyd check --config "+x.File))
	}
	return append(found, x.pending(ctx)...)
}

func refused(file string, err error) Finding {
	f := fail("%v", err)
	if e, is := errors.AsType[*config.Error](err); is {
		if first := e.Diagnostics()[0]; first.Detail != "" {
			f = f.fix(first.Detail)
		}
	}
	return f.fix("oauth-proxyd check --config " + file)
}

// pending says what the file has and the running daemon has not.
func (x *facts) pending(ctx context.Context) []Finding {
	if x.daemon == nil {
		return nil
	}
	o, err := x.Daemon.Reload(ctx, true)
	switch {
	case err != nil:
		return []Finding{unknown("whether the running daemon has read it: %v", err)}
	case o.Refused():
		return []Finding{warn("the running daemon would refuse its own file: %s", whyRefused(o)).fix("oauth-proxyd reload --dry-run")}
	case len(o.Changes) == 0:
		return nil
	}
	c, more := o.Changes[0], ""
	if len(o.Changes) > 1 {
		more = fmt.Sprintf(", and %d more", len(o.Changes)-1)
	}
	f := warn("the running daemon has other settings than its file: %s%s", c.Path, more)
	for _, c := range o.Changes {
		if c.NeedsRestart {
			return []Finding{f.fix(x.restart())}
		}
	}
	return []Finding{f.fix("oauth-proxyd reload")}
}

func whyRefused(o admin.ReloadOutcome) string {
	if len(o.Diagnostics) == 0 {
		return o.Error
	}
	d := o.Diagnostics[0]
	return fmt.Sprintf("%s:%d: %s", d.File, d.Line, d.Summary)
}

// checkRules looks for the one rule that the program is there for.
func checkRules(_ context.Context, x *facts) []Finding {
	if x.settings == nil {
		return nil
	}
	adds, replaces := false, false
	for _, h := range x.settings.Headers {
		if h.Name != "Anthropic-Beta" || h.Mode == config.Remove {
			continue
		}
		adds = adds || strings.Contains(h.Value, oauthBeta)
		replaces = replaces || h.Mode == config.Set
	}
	switch {
	case !adds:
		return []Finding{warn("no rule adds %s to anthropic-beta: a subscription's token without it is refused with 401", oauthBeta).
			fix(mergeRule)}
	case replaces:
		return []Finding{warn(`a rule sets anthropic-beta: the features that Claude Code asks for are lost, and it fails with 400`).
			fix(`mode = "merge" in the rule for anthropic-beta`, "oauth-proxyd selftest")}
	}
	return []Finding{ok("anthropic-beta gets %s", oauthBeta)}
}
