package labapi

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// setLimits sets the headers about the account that a request's credential belongs to.
func setLimits(h, request http.Header) {
	kind := credentialOf(request)
	if kind == credentialNone {
		return
	}
	// A UUID per credential, from which nobody can get the credential.
	sum := sha256.Sum256([]byte("organization of " + CredentialSHA256(request)))
	h.Set("Anthropic-Organization-Id", fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
	if kind == credentialOAuth {
		setSubscriptionLimits(h, time.Now())
	} else {
		setKeyLimits(h, time.Now())
	}
}

// setSubscriptionLimits sets the limits of a Pro or Max subscription: two windows, of five hours
// and of seven days, and the overage that is billed beyond them, each with its utilization (0 to 1)
// and its end in Unix seconds.
func setSubscriptionLimits(h http.Header, now time.Time) {
	const window5h, window7d, windowOverage = 5 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour
	set := func(name, value string) { h.Set("Anthropic-Ratelimit-Unified-"+name, value) }
	set("Status", "allowed")
	set("Reset", windowEnd(now, window5h))
	set("5h-Status", "allowed")
	set("5h-Reset", windowEnd(now, window5h))
	set("5h-Utilization", "0.25")
	set("7d-Status", "allowed")
	set("7d-Reset", windowEnd(now, window7d))
	set("7d-Utilization", "0.5")
	set("Representative-Claim", "five_hour")
	set("Overage-Status", "allowed")
	set("Overage-Reset", windowEnd(now, windowOverage))
	set("Overage-Utilization", "0.125")
	set("Overage-In-Use", "false")
}

// setKeyLimits sets the limits of an API key: per minute, with the time of the reset in RFC 3339.
func setKeyLimits(h http.Header, now time.Time) {
	reset := now.UTC().Truncate(time.Minute).Add(time.Minute).Format(time.RFC3339)
	for _, kind := range []struct{ name, limit, remaining string }{
		{"Requests", "50", "49"},
		{"Input-Tokens", "40000", "39000"},
		{"Output-Tokens", "8000", "7000"},
		{"Tokens", "48000", "46000"},
	} {
		h.Set("Anthropic-Ratelimit-"+kind.name+"-Limit", kind.limit)
		h.Set("Anthropic-Ratelimit-"+kind.name+"-Remaining", kind.remaining)
		h.Set("Anthropic-Ratelimit-"+kind.name+"-Reset", reset)
	}
}

// windowEnd is the next multiple of the window after now.
func windowEnd(now time.Time, window time.Duration) string {
	return strconv.FormatInt(now.Truncate(window).Add(window).Unix(), 10)
}
