package systemd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Unit is what "systemctl show" shows of a unit.
type Unit struct {
	Name   string
	Load   string // not-found, loaded, masked, …
	Active string // active, inactive, failed, …
	Result string // of the last run

	// Of a service:
	Type         string
	NotifyAccess string
	MainPID      int      // 0: none
	ExitStatus   string   // of the last main process; "0" also if none was started
	Program      string   // the path of ExecStart=
	Args         []string // the words of ExecStart=, that of the program included
	TriggeredBy  []string // socket units that start it

	// Of a socket unit:
	Listen []string // TCP addresses
	Paths  []string // Unix sockets
	Filter IPFilter
}

// ShowUnits asks systemd for these units: the system's service manager, unless args begin with
// other options. Every user may.
func ShowUnits(ctx context.Context, args ...string) ([]Unit, error) {
	const properties = "Id,LoadState,ActiveState,Result,ExecMainStatus,Listen,TriggeredBy,IPAddressAllow,IPAddressDeny," +
		"IPAccounting,IPIngressBytes,Type,NotifyAccess,MainPID,ExecStart"
	shown, err := systemctlShow(ctx, properties, args...)
	if err != nil {
		return nil, err
	}
	return ParseUnits(shown), nil
}

// systemctlShow runs systemctl, because the alternative, a client for D-Bus, is larger than this
// package.
func systemctlShow(ctx context.Context, properties string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "systemctl", append([]string{"show", "--no-pager", "--property=" + properties}, args...)...)
	c.WaitDelay = time.Second
	out, err := c.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		err = fmt.Errorf("%w: %s", err, oneLine(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("asking systemd about %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

// Ending says how the last run of a service ended; empty: normally.
func (u Unit) Ending() string { return Ending(u.Result, u.ExitStatus) }

// ParseUnits parses the output of "systemctl show": the units in the order of its arguments.
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
		properties[name] = value
		switch address, isStream := strings.CutSuffix(value, " (Stream)"); { // a line for each address
		case name != "Listen" || !isStream:
		case strings.HasPrefix(address, "/"), strings.HasPrefix(address, "@"):
			u.Paths = append(u.Paths, address)
		default:
			u.Listen = append(u.Listen, address)
		}
	}
	u.Name, u.Load, u.Active = properties["Id"], properties["LoadState"], properties["ActiveState"]
	u.Result, u.ExitStatus = properties["Result"], properties["ExecMainStatus"]
	u.Type, u.NotifyAccess = properties["Type"], properties["NotifyAccess"]
	u.MainPID, _ = strconv.Atoi(properties["MainPID"])
	start := properties["ExecStart"]
	u.Program = between(start, "path=", " ; argv[]=")
	u.Args = words(between(start, " ; argv[]=", " ; ignore_errors="))
	u.TriggeredBy = strings.Fields(properties["TriggeredBy"])
	u.Filter = IPFilter{
		Allow: parsePrefixes(properties["IPAddressAllow"]), Deny: parsePrefixes(properties["IPAddressDeny"]),
		Lost: u.Active == "active" && properties["IPAccounting"] == "yes" && slices.Contains([]string{"", "[no data]"}, properties["IPIngressBytes"]),
	}
	return u
}

func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

// IPFilter is a unit's IPAddressAllow= and IPAddressDeny=, see systemd.resource-control(5).
type IPFilter struct {
	Allow, Deny []netip.Prefix
	// Lost reports that systemd could not apply the filter, and started the unit without it.
	// systemd counts a unit's bytes with the same kernel programs that filter, and where the kernel
	// or the container has none it does neither (seen with versions 247 to 262). Nothing else shows
	// that.
	Lost bool
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

// Admits reports whether packets of every address in p pass: one entry allows all of p, or none
// denies any of it. Several entries that allow p together are not recognized.
func (f IPFilter) Admits(p netip.Prefix) bool {
	contains := func(allowed netip.Prefix) bool { return allowed.Bits() <= p.Bits() && allowed.Overlaps(p) }
	return slices.ContainsFunc(f.Allow, contains) || !slices.ContainsFunc(f.Deny, p.Overlaps)
}
