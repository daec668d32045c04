package tailnet

import (
	"context"
	"fmt"
)

// Prefs are those of this node's settings in tailscaled that decide about traffic to
// and from it.
type Prefs struct {
	// ShieldsUp refuses every connection from the tailnet.
	ShieldsUp bool
	// AcceptDNS has this host's resolver know the tailnet's names.
	AcceptDNS bool
	// ExitNode is the stable ID or the address of the node through which this host
	// reaches the internet; empty: none.
	ExitNode string
}

// Prefs asks for them, within AttemptTimeout.
func (c *Client) Prefs(ctx context.Context) (Prefs, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	p, err := c.local.GetPrefs(ctx)
	if err != nil {
		return Prefs{}, fmt.Errorf("asking tailscaled for its settings: %w", c.explain(err))
	}
	prefs := Prefs{ShieldsUp: p.ShieldsUp, AcceptDNS: p.CorpDNS, ExitNode: string(p.ExitNodeID)}
	if prefs.ExitNode == "" && p.ExitNodeIP.IsValid() {
		prefs.ExitNode = p.ExitNodeIP.String()
	}
	return prefs, nil
}
