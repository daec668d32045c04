package proxy

import (
	"fmt"
	"math/bits"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	// maxClients is how many clients have series of their own.
	maxClients = 8
	// clientLife is how long a client that is silent keeps its series from another.
	clientLife = time.Hour
	// clientPace is the time between two clients that take the series of others, after the first
	// maxClients. It bounds what an invented User-Agent for each request can do.
	clientPace = 10 * time.Minute
	// otherClient counts for all clients without series of their own.
	otherClient = "other"
)

// A client fails if refusedAtLeast of its last judgedRequests were refused, and it has sent a
// request within failingFor.
const (
	judgedRequests = 10
	refusedAtLeast = 5
	failingFor     = 10 * time.Minute
)

// clientName is the program that sent a request, with its version: "claude-cli 2.1.332", or
// "Anthropic/Python 0.75.0" for an SDK. It is empty for all other programs: what they call
// themselves is not kept.
func clientName(h http.Header) string {
	agent := h.Get("User-Agent")
	if version, ok := strings.CutPrefix(agent, "claude-cli/"); ok {
		return withVersion("claude-cli", version)
	}
	// A gateway may replace the User-Agent and leave the rest.
	language, version := h.Get("X-Stainless-Lang"), h.Get("X-Stainless-Package-Version")
	program, of, _ := strings.Cut(agent, "/")
	switch {
	case strings.HasSuffix(program, "Anthropic"): // AsyncAnthropic, too
		language, version, _ = strings.Cut(of, " ")
	case strings.HasSuffix(program, "OpenAI"): // its SDKs have the same generator
		return ""
	}
	return withVersion(sdkName(language), version)
}

// sdkName is that of Anthropic's SDK for a language; empty: there is none.
func sdkName(language string) string {
	for _, known := range [...]string{"JS", "Python", "Go", "Java", "Kotlin", "Ruby", "PHP", "CSharp"} {
		if strings.EqualFold(language, known) {
			return "Anthropic/" + known
		}
	}
	return ""
}

// withVersion is empty without a name, or if the text does not begin with a version.
func withVersion(name, text string) string {
	const most = 24
	end := strings.IndexFunc(text, func(c rune) bool {
		return !strings.ContainsRune("0123456789.+-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", c)
	})
	if end >= 0 {
		text = text[:end]
	}
	if name == "" || text == "" || len(text) > most || text[0] < '0' || text[0] > '9' {
		return ""
	}
	return name + " " + text
}

// newer reports whether a is the same program as b in a later version.
func newer(a, b string) bool {
	programA, versionA, _ := strings.Cut(a, " ")
	programB, versionB, _ := strings.Cut(b, " ")
	return programA == programB && slices.Compare(numbers(versionA), numbers(versionB)) > 0
}

// numbers are those of a version; the text behind them is left out.
func numbers(version string) []int {
	var all []int
	for part := range strings.SplitSeq(version, ".") {
		digits := len(part) - len(strings.TrimLeft(part, "0123456789"))
		n, _ := strconv.Atoi(part[:digits])
		all = append(all, n)
	}
	return all
}

// clients counts requests by client, and knows whether the requests of one version fail.
type clients struct {
	requests *prometheus.CounterVec
	taking   *rate.Limiter // of series that others have

	mu    sync.Mutex
	known map[string]*clientRecord // by name; otherClient and maxClients more at most
}

// clientRecord is what is known of one.
type clientRecord struct {
	seen   time.Time // latest request
	worked time.Time // latest that was judged and not refused
	lately uint16    // the last judgedRequests, the latest in the lowest bit; 1: refused
	status int       // of the latest refusal
	since  time.Time // when the refusals began that lately shows; zero: there are none
}

func newClients() *clients {
	c := &clients{
		requests: counters("proxy_client_requests_total",
			"Requests of admitted senders by client, the version of claude-cli or of an SDK, and class of the status. The 8 newest clients have a name.",
			"client", "class"),
		taking: rate.NewLimiter(rate.Every(clientPace), maxClients),
		known:  make(map[string]*clientRecord),
	}
	c.add(otherClient)
	return c
}

// observe counts a request at its end. One that its client gave up is not counted: its status says
// nothing of the client.
func (c *clients) observe(name string, status int) {
	if status == statusClientGone || status < 200 || status > 599 {
		return
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if name == "" || !c.find(name, now) {
		name = otherClient
	}
	c.requests.WithLabelValues(name, className(status)).Inc()
	c.known[name].observe(status, now)
}

func className(status int) string { return strconv.Itoa(status/100) + "xx" }

// find reports whether the client has series of its own. A new one gets them while there are fewer
// than maxClients, then those of a client that is silent, or else of the oldest version of the same
// program if that is older. The caller holds mu.
func (c *clients) find(name string, now time.Time) bool {
	if c.known[name] != nil {
		return true
	}
	if len(c.known) > maxClients {
		gives := c.oldest(name, now)
		if gives == "" || !c.taking.Allow() {
			return false
		}
		delete(c.known, gives)
		c.requests.DeletePartialMatch(prometheus.Labels{"client": gives})
	}
	c.add(name)
	return true
}

// oldest is the client whose series name may take; empty: none. The caller holds mu.
func (c *clients) oldest(name string, now time.Time) string {
	oldest := name
	for known, one := range c.known {
		switch {
		case known == otherClient:
		case now.Sub(one.seen) >= clientLife:
			return known
		case newer(oldest, known):
			oldest = known
		}
	}
	if oldest == name {
		return ""
	}
	return oldest
}

// add makes the series of a client, all of them, so that a rate over the first event is seen.
func (c *clients) add(name string) {
	c.known[name] = &clientRecord{}
	for _, status := range [...]int{200, 300, 400, 500} {
		c.requests.WithLabelValues(name, className(status))
	}
}

// observe judges a request. What depends on the account, the person or the upstream says nothing of
// the version of the client.
func (c *clientRecord) observe(status int, now time.Time) {
	c.seen = now
	switch {
	case status >= http.StatusInternalServerError:
		return
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return
	}
	c.lately = c.lately << 1 & (1<<judgedRequests - 1)
	if status < http.StatusBadRequest {
		c.worked = now
		if !c.fails() {
			c.since = time.Time{}
		}
		return
	}
	c.lately |= 1
	c.status = status
	if c.since.IsZero() {
		c.since = now
	}
}

func (c *clientRecord) fails() bool { return bits.OnesCount16(c.lately) >= refusedAtLeast }

// warning says since when requests are refused, and with which clients; empty: they are not.
func (c *clients) warning(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var failing, working []string
	var first *clientRecord // whose requests have been refused longest
	for name, one := range c.known {
		if one.fails() && now.Sub(one.seen) < failingFor {
			failing = append(failing, name)
			if first == nil || one.since.Before(first.since) {
				first = one
			}
		}
	}
	if first == nil {
		return ""
	}
	for name, one := range c.known {
		if !one.fails() && !one.worked.Before(first.since) {
			working = append(working, name)
		}
	}
	slices.Sort(failing)
	slices.Sort(working)
	return fmt.Sprintf("%ds since %s with ", first.status, clockTime(first.since, now)) + whoFails(failing, working)
}

// whoFails says with which clients requests fail, and how to go on.
func whoFails(failing, working []string) string {
	names, see := listed(failing), ""
	if failing[0] != otherClient {
		see = "; see `journalctl -u oauth-proxyd CLIENT=\"" + failing[0] + "\"`"
	}
	switch {
	case len(working) > 0:
		return names + " only, not with " + listed(working) + "; use another version there" + see
	case len(failing) > 1:
		return "every client (" + names + "); check the header rules with `oauth-proxyd selftest`"
	default:
		return names + "; no other client has sent a request since" + see
	}
}

// listed are names in a sentence.
func listed(names []string) string {
	return strings.Replace(strings.Join(names, " and "), otherClient, "other clients", 1)
}

// clockTime is the time of day, with the date if that was not today.
func clockTime(t, now time.Time) string {
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}
