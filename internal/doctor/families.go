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

// raceDelay is how long a new connection waits for an address before it also tries one of the other
// family. An address that fails sooner costs nothing.
const raceDelay = 250 * time.Millisecond

// serverFindings name the name servers that did not respond although another one did.
func serverFindings(a *attempt) []Finding {
	if _, found := a.done(upstream.StageName); !found {
		return nil // attemptFailed names them
	}
	var findings []Finding
	for _, server := range a.silent {
		findings = append(findings, at(stepDNS,
			warn("the name server %s did not respond; each new connection waits for it before it asks another one", server).fix(fixServers()...)))
	}
	return findings
}

// noName adds to a finding about a name that was not found what to do.
func noName(a *attempt, f Finding) Finding {
	if len(a.silent) > 0 {
		f.Seen += "; no response from the name servers: " + strings.Join(a.silent, ", ")
		f = f.fix(fixServers()...)
	}
	return f.fix("getent hosts "+a.host(), "see the nameserver lines of /etc/resolv.conf")
}

func fixServers() []string {
	return []string{
		"resolvectl status   # or cat /etc/resolv.conf: where is that name server configured?",
		"repair the server, or remove it there (with systemd-resolved: resolvectl dns LINK SERVER)",
	}
}

// familyFindings connect to an address of the family, IPv4 or IPv6, that the attempt did not use.
// If its packets are lost, that delays new connections.
func familyFindings(ctx context.Context, a *attempt) []Finding {
	winner, _ := a.done(upstream.StageAddress)
	used, err := netip.ParseAddrPort(winner.To)
	all := a.addresses()
	i := slices.IndexFunc(all, func(other netip.Addr) bool { return other.Is4() != used.Addr().Is4() })
	if err != nil || i < 0 {
		return nil
	}
	to, family := netip.AddrPortFrom(all[i], used.Port()), "6"
	if to.Addr().Is4() {
		family = "4"
	}
	began := time.Now()
	c, err := (&net.Dialer{Timeout: a.config.ConnectTimeout}).DialContext(ctx, "tcp", to.String())
	f, took := warn("IPv%s does not work: %v; a new connection may lose a quarter of a second with it", family, err), time.Since(began)
	switch {
	case err == nil:
		_ = c.Close() // it was only a test
		f = ok("IPv%s works too: connected to %s in %s", family, to, milliseconds(took))
	case took < raceDelay:
		f = ok("IPv%s is not used: %v", family, err)
	default:
		f = f.fix("ip -"+family+" route get "+to.Addr().String()+"   # fix the route to there", "ping -"+family+" "+to.Addr().String())
	}
	return []Finding{at(stepTCP, f)}
}
