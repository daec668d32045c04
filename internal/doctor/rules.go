package doctor

import (
	"context"
	"slices"
	"strings"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/selftest"
)

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
