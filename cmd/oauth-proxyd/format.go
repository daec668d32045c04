package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"oauth-proxyd/internal/term"
)

// quoted returns a name as it is, or in quotes if it could be taken for the text around it.
func quoted(name string) string {
	if strings.ContainsAny(name, ` ,;:()="\`) || !term.Printable(name) {
		return strconv.Quote(name)
	}
	return name
}

// prefixed returns text after a prefix, or "" without a text.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func nonempty(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

func count[N int | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// percent writes a share, or "" if it is unknown.
func percent(share *float64) string {
	switch {
	case share == nil:
		return ""
	case *share > 0 && *share < 0.01:
		return "<1%"
	}
	return fmt.Sprintf("%.0f%%", *share*100)
}

// shortSize writes a number of bytes with a decimal unit.
func shortSize(n int64) string {
	const kilo = 1000
	if n < kilo {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/kilo, 0
	for ; size >= kilo-0.5 && unit < 3; unit++ { // three digits would round it to 1000
		size /= kilo
	}
	return fmt.Sprintf("%.3g %cB", size, "kMGT"[unit])
}

// shortDuration writes a duration with three digits, or in its two largest units: 312µs, 45.1ms,
// 3.21s, 2m13s, 2h10m, 3d4h.
func shortDuration(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return d.Truncate(time.Second).String()
	}
	digit := time.Nanosecond
	for d >= 1000*digit {
		digit *= 10
	}
	return d.Truncate(digit).String()
}

func ago(at, now time.Time) string { return shortDuration(now.Sub(at)) + " ago" }
