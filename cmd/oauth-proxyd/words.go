package main

import (
	"fmt"
	"time"

	"oauth-proxyd/internal/proxy"
)

// shortTime has about three digits: 0.12ms, 45ms, 3.2s, 2m13s.
func shortTime(m proxy.Millis) string {
	d := m.Duration()
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// shortSize is a number of bytes with a decimal unit.
func shortSize(n int64) string {
	const kilo = 1000
	if n < kilo {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/kilo, 0
	for ; size >= kilo && unit < 3; unit++ {
		size /= kilo
	}
	return fmt.Sprintf("%.3g %cB", size, "kMGT"[unit])
}
