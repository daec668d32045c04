package config

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads Go's syntax for durations, in which a unit is never left out.
func parseDuration(s string, low, high time.Duration) (time.Duration, *fault) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, invalid("must be a duration, not "+quote(s), `write a number and a unit, such as "100ms", "30s", "5m" or "1h30m"; a day is "24h"`)
	case d < low || d > high:
		return 0, outOfRange(quote(s), spellDuration(low), spellDuration(high))
	}
	return d, nil
}

// spellDuration returns the shortest spelling: 6m, not 6m0s.
func spellDuration(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if before, ok := strings.CutSuffix(s, zero); ok {
			s = before + zero[:1]
		}
	}
	return s
}

// parseSize reads a whole number of B, KiB, MiB or GiB (IEC 80000-13).
func parseSize(s string, low, high int64) (int64, *fault) {
	unit := strings.TrimLeft(s, "+-.0123456789")
	factor := unitFactor(unit)
	n, err := strconv.ParseInt(strings.TrimSuffix(s, unit), 10, 64)
	switch {
	case factor == 0 || err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, invalid("must be a size, not "+quote(s), `write a whole number and one of B, KiB, MiB and GiB, such as "64KiB"`)
	case err != nil || n > high/factor || n*factor < low:
		return 0, outOfRange(quote(s), spellSize(low), spellSize(high))
	}
	return n * factor, nil
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

func unitFactor(unit string) int64 { // 0 for what is not a unit
	return map[string]int64{"B": 1, "KiB": kib, "MiB": mib, "GiB": gib}[unit]
}
