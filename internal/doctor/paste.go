package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// baseURL returns the URL of this daemon for clients: with this node's MagicDNS name, or its
// address if MagicDNS is off. It is empty if neither is known.
func (x *facts) baseURL() string {
	host, port := x.node.Name, x.port()
	if host == "" && x.daemon != nil {
		host = x.daemon.Tailnet.Name
	}
	if x.network != nil && !x.network.MagicDNS && len(x.node.Addresses) > 0 {
		host = x.node.Addresses[0].String()
	}
	if host == "" || port == 0 {
		return ""
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// checkPaste prints the configuration of a gateway that sends its requests here
// (https://tailscale.com/docs/aperture/configuration) and of Claude Code
// (https://docs.claude.com/en/docs/claude-code/settings), with the settings for what Claude Code
// switches off behind any gateway, as far as this proxy passes it on (seen in 2.1.332).
func checkPaste(_ context.Context, x *facts) []Finding {
	here := x.baseURL()
	switch {
	case !x.Paste:
		return nil
	case here == "":
		return []Finding{unknown("what to paste: neither the name nor an address of this node is known").fix("tailscale status")}
	}
	entry := strings.TrimSuffix(cmp.Or(x.Through, here), "/")
	return []Finding{
		ok("for Aperture: the base URL without /v1, the clients' own credentials, no \"apikey\"; \"models\" are those that you use").
			fix(fmt.Sprintf(`"providers": {
  "anthropic": {
    "baseurl": %q,
    "auth_mode": "passthrough",
    "models": ["claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5"],
    "compatibility": {"anthropic_messages": true}
  }
}`, here)),
		ok("for Claude Code, in ~/.claude/settings.json: only this. An apiKeyHelper, ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN disables the login of the subscription").
			fix(fmt.Sprintf("{\n  \"env\": {\"ANTHROPIC_BASE_URL\": %q}\n}", entry)),
		ok("with any base URL but Anthropic's, Claude Code has no Remote Control, no /schedule and no connectors. To switch on other features that it switches off, add their lines to the same \"env\"").
			fix(`"ENABLE_TOOL_SEARCH": "true"   # MCP tools are loaded when they are needed`,
				`"CLAUDE_CODE_ENABLE_FINE_GRAINED_TOOL_STREAMING": "1"   # a tool's input arrives while it is generated`,
				`"CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1"   # /model lists the models of GET /v1/models`,
				`"CLAUDE_CODE_PROPAGATE_TRACEPARENT": "1"   # requests have the trace of its telemetry`),
	}
}
