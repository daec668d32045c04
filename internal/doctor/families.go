package doctor

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/upstream"
)

// raceDelay is how long a new connection waits for an address before it tries one of the
// other family as well. What fails sooner costs nothing.
const raceDelay = 250 * time.Millisecond

// judgeServers names the name servers that did not respond, where another one did.
func judgeServers(w *way) []Finding {
	if _, found := w.done(upstream.StepName); !found {
		return nil // wayFailed says it
	}
	var findings []Finding
	for _, server := range w.silentServers() {
		findings = append(findings, at(stepDNS,
			warn("the name server %s did not respond; each new connection waits for it before another one is asked", server).mend(fixServers()...)))
	}
	return findings
}

// noName is about a name that was not found.
func noName(w *way, f Finding) Finding {
	if silent := w.silentServers(); len(silent) > 0 {
		f.Seen += "; no response from the name servers: " + strings.Join(silent, ", ")
		f = f.mend(fixServers()...)
	}
	return at(stepDNS, f.mend("getent hosts "+w.peer().Hostname(), "see the nameserver lines of /etc/resolv.conf"))
}

func fixServers() []string {
	return []string{
		"resolvectl status   # or cat /etc/resolv.conf: who lists that name server?",
		"fix it, or remove it from the nameserver lines of /etc/resolv.conf (where systemd-resolved manages them: resolvectl dns LINK SERVER)",
	}
}

// judgeFamilies connects to an address of the family, IPv4 or IPv6, over which the way did
// not go: one that swallows packets delays connections.
func judgeFamilies(ctx context.Context, w *way) []Finding {
	winner, ok := w.done(upstream.StepAddress)
	used, err := netip.ParseAddrPort(winner.To)
	if !ok || err != nil {
		return nil
	}
	all := w.addresses()
	i := slices.IndexFunc(all, func(a netip.Addr) bool { return a.Is4() != used.Addr().Is4() })
	if i < 0 {
		return nil
	}
	return []Finding{at(stepTCP, judgeOther(ctx, netip.AddrPortFrom(all[i], used.Port()), w.config.ConnectTimeout))}
}

func judgeOther(ctx context.Context, to netip.AddrPort, limit time.Duration) Finding {
	family, option := "IPv6", "-6"
	if to.Addr().Is4() {
		family, option = "IPv4", "-4"
	}
	began := time.Now()
	c, err := (&net.Dialer{Timeout: limit}).DialContext(ctx, "tcp", to.String())
	took := time.Since(began)
	switch {
	case err == nil:
		_ = c.Close() // that it was made is all
		return ok("%s works too: connected to %s in %s", family, to, milliseconds(took))
	case took < raceDelay:
		return ok("%s is not used: %v", family, err)
	}
	return warn("%s is dead: %v; a new connection may lose a quarter of a second there", family, err).
		mend("ip "+option+" route get "+to.Addr().String()+"   # fix the route to there", "ping "+option+" "+to.Addr().String())
}
