package doctor

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/selftest"
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
		found = append(found, warn("%s", text).fix("oauth-proxyd reload   # once "+x.File+" is changed"))
	}
	return append(found, x.pending(ctx)...)
}

// pending reports that the running daemon has not applied its file.
func (x *facts) pending(ctx context.Context) []Finding {
	if x.daemon == nil {
		return nil
	}
	o, err := x.Daemon.Reload(ctx, true)
	switch {
	case err != nil:
		return []Finding{unknown("the running daemon did not say whether it has applied the file: %v", err)}
	case o.Refused() || len(o.Changes) > 0:
		return []Finding{warn("the running daemon has not applied its configuration file").
			fix("oauth-proxyd reload --dry-run   # shows what would change, or why it would be refused", "oauth-proxyd reload")}
	}
	return nil
}

// mergeRule is the header rule that a subscription's token needs.
const mergeRule = "header \"anthropic-beta\" {\n  value = \"" + config.OAuthBeta + "\"\n  mode  = \"merge\"\n  when {\n    bearer_prefix = \"sk-ant-oat\"\n  }\n}"

// checkRules sends typical requests through the rules to a mock of the API. Where only OAuth tokens
// are refused, all clients may use API keys.
func checkRules(ctx context.Context, x *facts) []Finding {
	if x.settings == nil {
		return nil
	}
	report, err := selftest.Run(ctx, x.settings)
	if err != nil {
		return []Finding{unknown("cannot test the header rules: %v", err)}
	}
	command, found := "oauth-proxyd selftest --config "+x.File, ok("the header rules add %s to anthropic-beta", config.OAuthBeta)
	rule := mergeRule
	if slices.ContainsFunc(x.settings.Headers, func(h config.Header) bool { return strings.EqualFold(h.Name, "anthropic-beta") }) {
		rule = `let the rule header "anthropic-beta" have mode = "merge" and apply to these requests, and no other rule undo it`
	}
	for _, c := range report.Clients {
		switch {
		case c.Verdict == selftest.Fail && !c.OAuth:
			return []Finding{fail("%s: %s", c.Name, c.Why).fix(command)}
		case c.Verdict == selftest.Fail && found.Status == OK:
			found = warn("%s: %s", c.Name, c.Why).fix(rule, command)
		}
	}
	return []Finding{found}
}
