package doctor

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"strings"

	"oauth-proxyd/internal/config"
)

const (
	// oauthBeta is the feature without which the API refuses a subscription's token.
	oauthBeta = "oauth-2025-04-20"
	// mergeRule is a header rule that adds it.
	mergeRule = "header \"anthropic-beta\" {\n  value = \"" + oauthBeta + "\"\n  mode  = \"merge\"\n  when {\n    bearer_prefix = \"sk-ant-oat\"\n  }\n}"
)

func checkConfig(ctx context.Context, x *facts) []Finding {
	settings, err := x.Load()
	x.settings = settings
	switch {
	case errors.Is(err, fs.ErrPermission):
		return []Finding{unknown("this user may not read %s", x.File).fix(asRoot)}
	case err != nil:
		x.refused = true
		f := fail("%v", err)
		if e, is := errors.AsType[*config.Error](err); is {
			f = f.fix(cmp.Or(e.Diagnostics()[0].Detail, "see the manual: man 5 oauth-proxyd.hcl"))
		}
		return []Finding{f.fix("oauth-proxyd check --config " + x.File)}
	}
	found := []Finding{ok("%s is valid", x.File)}
	for _, text := range settings.Warnings() {
		setting, _, _ := strings.Cut(text, ": ")
		seen, fix := splitWarning(text, "", "change "+setting+" in "+x.File)
		found = append(found, warn("%s", seen).fix(fix, "oauth-proxyd reload"))
	}
	return append(found, x.pending(ctx)...)
}

// pending reports changes of the file that the running daemon has not applied.
func (x *facts) pending(ctx context.Context) []Finding {
	if x.daemon == nil {
		return nil
	}
	o, err := x.Daemon.Reload(ctx, true)
	switch {
	case err != nil:
		return []Finding{unknown("the running daemon did not say whether it has applied the file: %v", err)}
	case x.isForDescriptors(o.Error):
		return nil
	case o.Refused():
		why := o.Error
		if len(o.Diagnostics) > 0 {
			why = strings.TrimPrefix(o.Diagnostics[0].Where()+": "+o.Diagnostics[0].Summary, ": ")
		}
		return []Finding{warn("the running daemon would refuse its configuration: %s", why).fix("oauth-proxyd reload --dry-run")}
	case len(o.Changes) == 0:
		return nil
	}
	apply, paths := "oauth-proxyd reload", make([]string, len(o.Changes))
	for i, change := range o.Changes {
		paths[i] = change.Path
		if change.NeedsRestart {
			apply = x.start()
		}
	}
	return []Finding{warn("the running daemon has not applied a change of its configuration: %s", strings.Join(paths, ", ")).fix(apply)}
}

// checkRules looks for the header rule that this program is made for.
func checkRules(_ context.Context, x *facts) []Finding {
	if x.settings == nil {
		return nil
	}
	adds, replaces, named := false, false, ""
	overlap := func(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }
	for _, h := range x.settings.Headers {
		applies := overlap(h.When.BearerPrefix, "sk-ant-oat01-") && overlap(h.When.PathPrefix, "/v1/messages") && overlap(h.When.UserAgentPrefix, "claude-cli/")
		switch {
		case applies && h.Name == "Anthropic-Version" && h.Mode == config.ModeRemove:
			return []Finding{fail("a header rule removes anthropic-version: the API refuses each such request with 400").
				fix(`delete the rule header "anthropic-version" in `+x.File, "oauth-proxyd reload")}
		case applies && h.Name == "Anthropic-Beta" && h.Mode != config.ModeRemove:
			adds = adds || strings.Contains(h.Value, oauthBeta)
			replaces = replaces || h.Mode == config.ModeSet
		case strings.Contains(h.Value, oauthBeta) && !overlap(h.When.BearerPrefix, "sk-ant-oat01-"):
			named = h.When.BearerPrefix
		}
	}
	switch {
	case !adds && named != "":
		return []Finding{warn("the header rule that adds %s has when.bearer_prefix = %q, which no subscription's token has: the API refuses those with 401", oauthBeta, named).
			fix("in that rule of "+x.File+":", "when {\n  bearer_prefix = \"sk-ant-oat\"\n}", "oauth-proxyd reload")}
	case !adds:
		return []Finding{warn("no header rule adds %s to anthropic-beta for Claude Code: without it the API refuses a subscription's token with 401", oauthBeta).fix(mergeRule)}
	case replaces:
		return []Finding{warn("a header rule replaces anthropic-beta: Claude Code loses its own features, and its requests fail with 400").
			fix(`mode = "merge" in the rule for anthropic-beta`, "oauth-proxyd selftest --config "+x.File)}
	}
	return []Finding{ok("a header rule adds %s to anthropic-beta", oauthBeta)}
}
