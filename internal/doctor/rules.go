package doctor

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/proxy"
)

const (
	// oauthBeta is the feature without which the API refuses a subscription's token.
	oauthBeta = "oauth-2025-04-20"
	// mergeRule is a header rule that adds it.
	mergeRule = "header \"anthropic-beta\" {\n  value = \"" + oauthBeta + "\"\n  mode  = \"merge\"\n  when {\n    bearer_prefix = \"sk-ant-oat\"\n  }\n}"

	betaHeader    = "Anthropic-Beta"
	versionHeader = "Anthropic-Version"
	ownFeature    = "claude-code-20250219" // which Claude Code asks for
)

// claudeCode is a request of Claude Code, with the values that conditions of header rules compare.
type claudeCode struct{ bearer, path, agent, listener string }

// usual returns the request that most rules are for.
func usual() claudeCode {
	return claudeCode{"sk-ant-oat01-", "/v1/messages", "claude-cli/", "proxy"}
}

// meeting returns a request of Claude Code for which a condition holds, if there is one.
func meeting(w config.When) (c claudeCode, found bool) {
	c, found = usual(), true
	for _, part := range []struct {
		value  *string
		prefix string
	}{{&c.bearer, w.BearerPrefix}, {&c.path, w.PathPrefix}, {&c.agent, w.UserAgentPrefix}} {
		found = found && config.Overlap(*part.value, part.prefix)
		if len(part.prefix) > len(*part.value) {
			*part.value = part.prefix
		}
	}
	if w.Listener != "" {
		c.listener = w.Listener
	}
	return c, found
}

// outcome is what the header rules together do to a request.
type outcome struct {
	adds            bool // the API gets oauthBeta
	lacksVersion    bool
	undone, dropped *config.Header // the rules that remove oauthBeta again, and the client's own features
}

// pass applies the rules as the daemon does.
func (c claudeCode) pass(rules []config.Header) (o outcome) {
	in := &http.Request{URL: &url.URL{Path: c.path}, RequestURI: c.path, Header: http.Header{
		"Authorization": {"Bearer " + c.bearer}, "User-Agent": {c.agent}, versionHeader: {"2023-06-01"}, betaHeader: {ownFeature},
	}}
	h := in.Header.Clone()
	has := func(feature string) bool {
		return slices.Contains(config.AppendElements(nil, h[betaHeader]...), feature)
	}
	for _, r := range rules {
		had, own := has(oauthBeta), has(ownFeature)
		proxy.Apply(r, h, in, c.listener)
		if had && !has(oauthBeta) {
			o.undone = &r
		}
		if own && !has(ownFeature) {
			o.dropped = &r
		}
	}
	o.adds, o.lacksVersion = has(oauthBeta), len(h[versionHeader]) == 0
	if o.adds {
		o.undone = nil
	}
	return o
}

// checkRules applies the header rules to requests of Claude Code, one for each condition, and looks
// for the feature that this program is made for.
func checkRules(_ context.Context, x *facts) []Finding {
	if x.settings == nil {
		return nil
	}
	all := usual().pass(x.settings.Headers)
	never := "" // the condition of a rule that adds the feature for no subscription's token
	for _, r := range x.settings.Headers {
		c, found := meeting(r.When)
		if !found {
			if strings.Contains(r.Value, oauthBeta) && !config.Overlap(usual().bearer, r.When.BearerPrefix) {
				never = r.When.BearerPrefix
			}
			continue
		}
		o := c.pass(x.settings.Headers)
		all.adds, all.lacksVersion = all.adds || o.adds, all.lacksVersion || o.lacksVersion
		all.undone, all.dropped = cmp.Or(all.undone, o.undone), cmp.Or(all.dropped, o.dropped)
	}
	return []Finding{x.judgeRules(all, never)}
}

func (x *facts) judgeRules(o outcome, never string) Finding {
	switch {
	case o.lacksVersion:
		return fail("a header rule removes anthropic-version: the API refuses each such request with 400").
			fix(`delete the rule header "anthropic-version" in `+x.File, "oauth-proxyd reload")
	case o.undone != nil:
		return fail("the %s undoes the one that adds %s: the API refuses a subscription's token with 401", named(*o.undone), oauthBeta).
			fix("delete that rule in "+x.File+`, or give it mode = "merge" and a value`, "oauth-proxyd reload")
	case !o.adds && never != "":
		return warn("the header rule that adds %s has when.bearer_prefix = %q, which no subscription's token has: the API refuses those with 401", oauthBeta, never).
			fix("in that rule of "+x.File+":", "when {\n  bearer_prefix = \"sk-ant-oat\"\n}", "oauth-proxyd reload")
	case !o.adds:
		return warn("no header rule adds %s to anthropic-beta for Claude Code: without it the API refuses a subscription's token with 401", oauthBeta).fix(mergeRule)
	case o.dropped != nil:
		return warn("the %s replaces what the client sends: Claude Code loses its own features, and its requests fail with 400", named(*o.dropped)).
			fix(`mode = "merge" in that rule`, "oauth-proxyd selftest --config "+x.File)
	}
	return ok("the header rules add %s to anthropic-beta", oauthBeta)
}

// named returns the name of a rule in a sentence.
func named(r config.Header) string {
	return "rule " + r.Rule() + ", mode \"" + string(r.Mode) + "\","
}
