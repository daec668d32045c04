package proxy

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	// maxClients is how many clients have their own series.
	maxClients = 8
	// clientLife is how long a silent client keeps its series when another one needs them.
	clientLife = time.Hour
	// clientPace is the time between two replacements of series, after the first maxClients. It
	// limits the effect of a made-up User-Agent for each request.
	clientPace = 10 * time.Minute
	// otherClient stands for all clients without their own series.
	otherClient = "other"
)

// A client fails if its last refusedAtLeast messages were refused, the latest within failingFor,
// and they are not all of one session, whose prompt may be at fault.
const (
	refusedAtLeast = 5
	failingFor     = 10 * time.Minute
)

// clientName returns the program that sent a request, with its version: "claude-cli 2.1.332", or
// "Anthropic/Python 0.75.0" for an SDK. It returns "" for all other programs. All that follows the
// numbers of a version is left out, because it may be anything, such as a name.
func clientName(h http.Header) string {
	const mostVersion = 16
	program, version, _ := strings.Cut(h.Get("User-Agent"), "/")
	switch {
	case strings.Contains(program, "Anthropic"): // or AsyncAnthropic, or AnthropicClientImpl
		language, rest, _ := strings.Cut(version, " ")
		if !slices.Contains([]string{"JS", "Python", "Go", "Java", "Kotlin", "Ruby", "PHP", "C#"}, language) {
			return ""
		}
		program, version = "Anthropic/"+language, rest
	case program != "claude-cli":
		return ""
	}
	version = version[:len(version)-len(strings.TrimLeft(version, "0123456789."))]
	if version == "" || len(version) > mostVersion || version[0] == '.' {
		return ""
	}
	return program + " " + version
}

// newer reports whether a is the same program as b in a later version.
func newer(a, b string) bool {
	programA, versionA, _ := strings.Cut(a, " ")
	programB, versionB, _ := strings.Cut(b, " ")
	return programA == programB && slices.Compare(numbers(versionA), numbers(versionB)) > 0
}

// numbers returns the three numbers of a version; 0 for a missing one.
func numbers(version string) []int {
	all := make([]int, 3)
	_, _ = fmt.Sscanf(version, "%d.%d.%d", &all[0], &all[1], &all[2])
	return all
}

// clients counts requests by client, and detects when the requests of one version fail. The lock of
// outcomes guards it.
type clients struct {
	requests *prometheus.CounterVec
	replaced *rate.Limiter            // limits replacements of series
	known    map[string]*clientRecord // by name; otherClient and up to maxClients others
}

// clientRecord is what is known about one client.
type clientRecord struct {
	seen    time.Time // the latest request
	worked  time.Time // the latest message that was not refused
	refused int       // messages since
	since   time.Time // the first of these
	latest  time.Time // the latest of these
	status  int       // of latest
	session string    // of the first; "": none, or there are several
}

func newClients(r prometheus.Registerer) *clients {
	c := &clients{
		requests: counters(r, "proxy_client_requests_total",
			"Requests of admitted senders, by client (claude-cli or an SDK, with its version; the 8 newest, and other) and class of the status.",
			"client", "class"),
		replaced: rate.NewLimiter(rate.Every(clientPace), maxClients),
		known:    make(map[string]*clientRecord),
	}
	c.add(otherClient, time.Time{})
	return c
}

// count counts a request at its end. A request that its client gave up is not counted, because its
// status says nothing about the client.
func (c *clients) count(r *record, now time.Time) {
	if r.left || r.Status < 200 || r.Status > 599 {
		return
	}
	name := c.series(r.Client, now)
	c.requests.WithLabelValues(name, className(r.Status)).Inc()
	c.known[name].seen = now
}

// judge judges a client by a response of the upstream that begins. Only messages count: the other
// requests of a client may work when they do not. Only statuses count that do not depend on the
// account, the person, the size of the prompt or the load of the API.
func (c *clients) judge(r *record, now time.Time) {
	if !r.isMessage() {
		return
	}
	one := c.known[c.series(r.Client, now)]
	if r.isSuccess() {
		one.worked, one.refused = now, 0
	}
	if r.UpstreamRequestID == "" {
		return
	}
	switch r.Status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		if one.refused == 0 {
			one.since, one.session = now, r.Session
		} else if one.session != r.Session {
			one.session = ""
		}
		one.refused++
		one.latest, one.status = now, r.Status
	}
}

func className(status int) string { return strconv.Itoa(status/100) + "xx" }

// series returns the name under which a client is counted: its own, or otherClient. A new client
// gets its own series while there are fewer than maxClients. Then it replaces a silent client, or
// else the oldest version of the same program if that is older.
func (c *clients) series(name string, now time.Time) string {
	switch {
	case name == "":
		return otherClient
	case c.known[name] != nil:
		return name
	}
	if len(c.known) > maxClients {
		old := c.oldest(name, now)
		if old == name || !c.replaced.Allow() {
			return otherClient
		}
		delete(c.known, old)
		c.requests.DeletePartialMatch(prometheus.Labels{"client": old})
	}
	c.add(name, now)
	return name
}

// oldest returns the client that name may replace, or name.
func (c *clients) oldest(name string, now time.Time) string {
	oldest := name
	for other, record := range c.known {
		switch {
		case other == otherClient:
		case now.Sub(record.seen) >= clientLife:
			return other
		case newer(oldest, other):
			oldest = other
		}
	}
	return oldest
}

// add makes all series of a client, so that a rate shows their first event.
func (c *clients) add(name string, now time.Time) {
	c.known[name] = &clientRecord{seen: now}
	for _, status := range [...]int{200, 300, 400, 500} {
		c.requests.WithLabelValues(name, className(status))
	}
}

func (c *clientRecord) fails(now time.Time) bool {
	return c.refused >= refusedAtLeast && c.session == "" && now.Sub(c.latest) < failingFor
}

// clientWarning says since when messages are refused, and with which clients, or returns "".
func (o *outcomes) clientWarning(now time.Time) string {
	known := o.clients.known
	names := slices.Sorted(maps.Keys(known))
	var failing, working []string
	first := &clientRecord{since: now} // the client whose messages have been refused longest
	for _, name := range names {
		if one := known[name]; one.fails(now) {
			failing = append(failing, name)
			if !one.since.After(first.since) {
				first = one
			}
		}
	}
	if len(failing) == 0 {
		return ""
	}
	for _, name := range names {
		if one := known[name]; !one.fails(now) && !one.worked.Before(first.since) {
			working = append(working, name)
		}
	}
	text := fmt.Sprintf("%ds since %s with %s", first.status, first.since.Format("15:04"), listed(failing))
	if len(working) > 0 {
		text += " only, not with " + listed(working) + "; use another version there"
	}
	if failing[0] != otherClient {
		text += "; " + o.see("client", failing[0])
	}
	return text
}

func listed(names []string) string {
	return strings.Replace(strings.Join(names, " and "), otherClient, "other clients", 1)
}
