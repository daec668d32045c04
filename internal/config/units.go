package config

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads Go's syntax for durations, in which a unit is never
// left out.
func parseDuration(s string, low, high time.Duration) (time.Duration, *fault) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, notDuration(s)
	}
	if d < low || d > high {
		return 0, &fault{
			summary: quote(s) + " is out of range",
			hint:    spellDuration(low) + " to " + spellDuration(high),
		}
	}
	return d, nil
}

func notDuration(s string) *fault {
	wrong := &fault{
		summary: quote(s) + " is not a duration",
		hint:    `a number and a unit, such as "100ms", "30s", "5m", "1h" or "1h30m"`,
	}
	number, unit := splitUnit(s)
	switch {
	case number == "":
	case unit == "":
		wrong.summary = quote(s) + " has no unit"
		wrong.hint = "write " + strconv.Quote(s+"s") + " for seconds or " + strconv.Quote(s+"m") + " for minutes"
	case unit == "d" || strings.HasPrefix(unit, "day"):
		wrong.hint = `there is no unit for days: "24h" is one`
	}
	return wrong
}

// spellDuration gives the shortest spelling: 6m, not 6m0s.
func spellDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseSize reads a whole number of B, KiB, MiB or GiB (IEC 80000-13).
func parseSize(s string, low, high int64) (int64, *fault) {
	number, unit := splitUnit(s)
	factor := unitFactor(unit)
	n, err := strconv.ParseInt(number, 10, 64)
	if factor == 0 || (err != nil && !errors.Is(err, strconv.ErrRange)) {
		return 0, notSize(s, number, unit)
	}
	if err != nil || n < 0 || n > math.MaxInt64/factor || n*factor < low || n*factor > high {
		return 0, &fault{
			summary: quote(s) + " is out of range",
			hint:    spellSize(low) + " to " + spellSize(high),
		}
	}
	return n * factor, nil
}

func notSize(s, number, unit string) *fault {
	wrong := &fault{
		summary: quote(s) + " is not a size",
		hint:    `a whole number and a unit, such as "100B", "64KiB", "512MiB" or "1GiB"`,
	}
	switch upper := strings.ToUpper(strings.TrimSpace(unit)); {
	case number == "":
	case unit == "":
		wrong.summary = quote(s) + " has no unit"
		wrong.hint = "write " + strconv.Quote(s+"B") + " for bytes or " + strconv.Quote(s+"MiB") + " for mebibytes"
	case unitFactor(unit) != 0:
		wrong.summary = quote(s) + " is not a whole number"
		wrong.hint = "use a smaller unit"
	case upper != "" && slices.Contains(strings.Fields("K KB KIB M MB MIB G GB GIB"), upper):
		iec := strconv.Quote(number + upper[:1] + "iB")
		wrong.hint = "the units are B, KiB, MiB and GiB, so written: " + iec
	}
	return wrong
}

// spellSize uses the largest unit that leaves a whole number.
func spellSize(n int64) string {
	for _, unit := range []string{"GiB", "MiB", "KiB"} {
		if factor := unitFactor(unit); n != 0 && n%factor == 0 {
			return strconv.FormatInt(n/factor, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// unitFactor is 0 for what is not a unit.
func unitFactor(unit string) int64 {
	switch unit {
	case "B":
		return 1
	case "KiB":
		return kib
	case "MiB":
		return mib
	case "GiB":
		return gib
	default:
		return 0
	}
}

// splitUnit parts "512MiB" into "512" and "MiB".
func splitUnit(s string) (number, unit string) {
	unit = strings.TrimLeft(s, "+-.0123456789")
	return s[:len(s)-len(unit)], unit
}
