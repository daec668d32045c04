package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"oauth-proxyd/internal/proxy"
)

// printable quotes what a client or an upstream chose if it could speak to the
// terminal.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}

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
