package doctor

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// baseURL is the URL of this daemon for clients: with this node's MagicDNS name, or its address if
// MagicDNS is off. It is empty if neither is known.
func (x *facts) baseURL() string {
	host, port := x.node.Name, x.port()
	if host == "" && x.daemon != nil {
		host = x.daemon.Tailnet.Name
	}
	if x.network != nil && !x.network.MagicDNS && len(x.node.Addresses) > 0 {
		host = x.node.Addresses[0].String()
	}
	switch {
	case host == "" || port == 0:
		return ""
	case port == 80:
		return "http://" + host
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// paste returns the configuration of a gateway that sends its requests here
// (https://tailscale.com/docs/aperture/configuration), and that of Claude Code
// (https://docs.claude.com/en/docs/claude-code/settings).
func (x *facts) paste() (aperture, claude string) {
	here := x.baseURL()
	if here == "" {
		return "", ""
	}
	aperture = fmt.Sprintf(`"providers": {
  "anthropic": {
    "baseurl": %q,
    "auth_mode": "passthrough",
    "models": ["claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5"],
    "compatibility": {"anthropic_messages": true}
  }
}`, here)
	entry := strings.TrimSuffix(cmp.Or(x.Through, here), "/")
	claude = fmt.Sprintf(`{"env": {"ANTHROPIC_BASE_URL": %q}}`, entry)
	return aperture, claude
}
