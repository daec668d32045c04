package systemd

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Unit is what the service manager says of a unit, see systemctl(1), show.
type Unit struct {
	Name        string
	Load        string   // not-found, loaded, masked, …
	Active      string   // active, inactive, failed, …
	Result      string   // of the last run
	ExitStatus  string   // of the last main process
	Listen      []string // TCP addresses of a socket unit
	Paths       []string // its Unix sockets
	TriggeredBy []string // socket units that start a service
	Filter      IPFilter
	// NotOpen are the addresses on which systemd should listen for this active socket unit, and
	// does not. A unit that is masked, or whose addresses change, loses its sockets when systemd
	// reads it again (daemon-reload); it stays active, and a start does nothing.
	NotOpen []string
}

// IPFilter is a unit's IPAddressAllow= and IPAddressDeny=, see systemd.resource-control(5).
type IPFilter struct {
	Allow, Deny []netip.Prefix
	// Lost: the manager could not put the filter in force, and went on without.
	Lost bool
}

// ShowUnits asks the manager of the system for these units. Anybody may.
func ShowUnits(ctx context.Context, names ...string) ([]Unit, error) {
	c := exec.CommandContext(ctx, "systemctl", append([]string{
		"show", "--no-pager",
		"--property=Id,LoadState,ActiveState,Result,ExecMainStatus,Listen,TriggeredBy,IPAddressAllow,IPAddressDeny,IPAccounting,IPIngressBytes",
	}, names...)...)
	c.WaitDelay = time.Second
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("asking systemd for its units: %w", err)
	}
	units := ParseUnits(string(out))
	open := readListening()
	for i, u := range units {
		units[i].NotOpen = u.notOpen(open)
	}
	return units, nil
}

func (u Unit) notOpen(open listening) []string {
	if u.Active != "active" {
		return nil
	}
	return slices.DeleteFunc(slices.Concat(u.Listen, u.Paths), open.has)
}

// ParseUnits reads what systemctl shows, one unit after the other, in the order in which it was asked for.
func ParseUnits(shown string) []Unit {
	var units []Unit
	for text := range strings.SplitSeq(strings.TrimSpace(shown), "\n\n") {
		units = append(units, parseUnit(text))
	}
	return units
}

func parseUnit(text string) Unit {
	var u Unit
	properties := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if name == "Listen" { // a line for each address
			u.addAddress(strings.CutSuffix(value, " (Stream)"))
			continue
		}
		properties[name] = value
	}
	u.Name, u.Load, u.Active = properties["Id"], properties["LoadState"], properties["ActiveState"]
	u.Result, u.ExitStatus = properties["Result"], properties["ExecMainStatus"]
	u.TriggeredBy = strings.Fields(properties["TriggeredBy"])
	u.Filter = IPFilter{
		Allow: parsePrefixes(properties["IPAddressAllow"]), Deny: parsePrefixes(properties["IPAddressDeny"]),
		Lost: u.Active == "active" && properties["IPAccounting"] == "yes" && !isCounted(properties["IPIngressBytes"]),
	}
	return u
}

func (u *Unit) addAddress(address string, isStream bool) {
	switch {
	case !isStream:
	case strings.HasPrefix(address, "/"), strings.HasPrefix(address, "@"):
		u.Paths = append(u.Paths, address)
	default:
		u.Listen = append(u.Listen, address)
	}
}

// isCounted reports whether the manager counts the bytes of a unit. It counts them with the programs that filter, so
// that it does neither where the kernel, or the container, has none: so seen with versions 247 to 262. It says so
// nowhere else.
func isCounted(bytes string) bool {
	return bytes != "" && bytes != "[no data]"
}

func parsePrefixes(text string) []netip.Prefix {
	var all []netip.Prefix
	for field := range strings.FieldsSeq(text) {
		if p, err := netip.ParsePrefix(field); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// Admits reports whether packets of every address in p pass. Those that are allowed do, whatever is denied; so do those
// that are not denied.
func (f IPFilter) Admits(p netip.Prefix) bool {
	contains := func(o netip.Prefix) bool { return o.Bits() <= p.Bits() && o.Overlaps(p) }
	switch {
	case slices.ContainsFunc(f.Allow, contains), !slices.ContainsFunc(f.Deny, p.Overlaps):
		return true
	case !f.AdmitsSome(p):
		return false
	}
	low, high := halves(p)
	return f.Admits(low) && f.Admits(high)
}

// AdmitsSome reports whether those of an address in p are named as allowed, or not all of them are denied.
func (f IPFilter) AdmitsSome(p netip.Prefix) bool {
	contains := func(o netip.Prefix) bool { return o.Bits() <= p.Bits() && o.Overlaps(p) }
	return slices.ContainsFunc(f.Allow, p.Overlaps) || !slices.ContainsFunc(f.Deny, contains)
}

// halves splits a prefix of more than one address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	address := p.Masked().Addr().AsSlice()
	low = netip.PrefixFrom(p.Masked().Addr(), bits)
	address[(bits-1)/8] |= 1 << (7 - (bits-1)%8)
	first, _ := netip.AddrFromSlice(address)
	return low, netip.PrefixFrom(first, bits)
}
