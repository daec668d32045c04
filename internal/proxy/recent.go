package proxy

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Requests are counted in steps of recentStep, of which the last recentSteps are remembered.
const (
	recentStep  = 10 * time.Second
	recentSteps = int64(time.Hour / recentStep)
)

// There is a warning if at least warnShare of the last 5 minutes' requests failed, and there were
// at least warnRequests.
const (
	warnShare    = 0.1
	warnRequests = 10
)

// The classes of errors. The API sends a request-id with each response, so an error without one may
// not be the API's.
const (
	classLimited    = "429"
	classOverloaded = "529"
	classFailed     = "5xx"             // any other 5xx
	classRefused    = "4xx"             // any other 4xx, or a redirect
	classErrorEvent = outcomeErrorEvent // the API ended a stream with one
	classUnknown    = "no_request_id"
	classCut        = "cut"   // by the upstream or on the path to it, after it had begun; or incomplete
	classProxy      = "proxy" // an error response of this proxy, not due to the client
)

func errorClasses() []string {
	return []string{classLimited, classOverloaded, classFailed, classRefused, classErrorEvent, classUnknown, classCut, classProxy}
}

// class returns the class of a response of the upstream, or "" if it is a success.
func (r *record) class() string {
	switch {
	case (r.Status < http.StatusMultipleChoices || r.Status == http.StatusNotModified) && !r.webPage:
		return ""
	case r.UpstreamRequestID == "":
		return classUnknown
	case r.Status == http.StatusTooManyRequests:
		return classLimited
	case r.Status == statusOverloaded:
		return classOverloaded
	case r.Status >= http.StatusInternalServerError:
		return classFailed
	}
	return classRefused
}

// recentErrors counts the requests of the last hour, to tell the upstream's failures from ours. A
// response counts when it begins, because a stream may last long. If it does not end well, it
// counts at that time instead. Like clients, it is guarded by the lock of outcomes.
type recentErrors [recentSteps]recentCount

// recentCount is the count of one step.
type recentCount struct {
	step int64 // number of steps since 1970
	RecentErrors
}

// change changes the count of the current step.
func (e *recentErrors) change(now time.Time, f func(*RecentErrors)) {
	step := stepOf(now)
	c := &e[step%recentSteps]
	if c.step != step {
		*c = recentCount{step, newRecentErrors()}
	}
	f(&c.RecentErrors)
}

// ended counts a request that got no response of the upstream, or one that did not end well. It
// returns the class of error or the code that it counted, or "".
func (e *recentErrors) ended(r *record, now time.Time) (counted string) {
	meaning, failed := r.failure()
	switch {
	case failed && meaning.severity == stranger:
		e.change(now, func(c *RecentErrors) { c.Refused++ })
	case failed && r.FirstByte <= 0:
		class := ""
		if meaning.severity >= refusal {
			class = classProxy
		}
		e.change(now, func(c *RecentErrors) {
			c.add(class)
			c.Codes[r.Outcome]++
		})
		return r.Outcome
	case r.Outcome == outcomeErrorEvent:
		return e.move(classErrorEvent, r, now)
	case r.Outcome == outcomeIncomplete:
		return e.move(classCut, r, now)
	case (meaning.cutBy == cutByUpstream || meaning.cutBy == cutByTimeout) && r.class() == "":
		return e.move(classCut, r, now)
	}
	return ""
}

// move counts a response that began without an error with this class, now.
func (e *recentErrors) move(class string, r *record, now time.Time) string {
	then := stepOf(r.Started.Add(r.FirstByte.Duration()))
	if c := &e[then%recentSteps]; c.step == then {
		c.Requests--
	}
	e.change(now, func(c *RecentErrors) { c.add(class) })
	return class
}

func stepOf(t time.Time) int64 { return t.Unix() / int64(recentStep/time.Second) }

// RecentErrors counts the requests of a window that ends now.
type RecentErrors struct {
	Requests int `json:"requests"`
	// Errors says how many failed, by class: 429, 529, 5xx and 4xx (any other) and error_event (the
	// end of a stream) for the API's, no_request_id for an error without the API's request-id, cut
	// for a response that did not end or a message that ended early, and proxy for an error
	// response of our own that is not the client's fault.
	Errors map[string]int `json:"errors"`
	// Codes has all error responses of our own by code.
	Codes map[string]int `json:"codes"`
	// Refused is how many other requests were refused because the sender has no access.
	Refused int `json:"refused"`
}

func newRecentErrors() RecentErrors {
	return RecentErrors{Errors: make(map[string]int), Codes: make(map[string]int)}
}

// add counts a request with its class of error, or "" without one.
func (e *RecentErrors) add(class string) {
	e.Requests++
	if class != "" {
		e.Errors[class]++
	}
}

// Share returns the share of requests that failed with a class or a code; 0 without requests.
func (e RecentErrors) Share(name string) float64 {
	return float64(e.Errors[name]+e.Codes[name]) / float64(max(1, e.Requests))
}

// over adds up the steps of a window.
func (e *recentErrors) over(window time.Duration, now time.Time) RecentErrors {
	all := newRecentErrors()
	for _, class := range errorClasses() {
		all.Errors[class] = 0
	}
	first := stepOf(now.Add(-window)) + 1
	for _, c := range e {
		if c.step < first {
			continue
		}
		all.Requests += c.Requests
		all.Refused += c.Refused
		for class, n := range c.Errors {
			all.Errors[class] += n
		}
		for code, n := range c.Codes {
			all.Codes[code] += n
		}
	}
	return all
}

// RecentErrors returns the counts for the windows 1m, 5m and 60m.
func (p *Proxy) RecentErrors(now time.Time) map[string]RecentErrors {
	return p.outcomes.windows(now)
}

func (o *outcomes) windows(now time.Time) map[string]RecentErrors {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make(map[string]RecentErrors)
	for label, window := range map[string]time.Duration{"1m": time.Minute, "5m": 5 * time.Minute, "60m": time.Hour} {
		all[label] = o.recent.over(window, now)
	}
	return all
}

// ours returns how many requests this proxy did not carry, except for its clients' own errors, and
// the most frequent code of these.
func (e *RecentErrors) ours() (n int, worst Code) {
	for _, name := range slices.Sorted(maps.Keys(e.Codes)) {
		if code := Code(name); codeTable[code].severity >= refusal {
			n += e.Codes[name]
			if e.Codes[name] > e.Codes[string(worst)] {
				worst = code
			}
		}
	}
	return n, worst
}

// allFail reports whether no request of the last 5 minutes succeeded.
func (e *recentErrors) allFail(now time.Time) bool {
	lately, failed := e.over(5*time.Minute, now), 0
	for _, n := range lately.Errors {
		failed += n
	}
	return failed == lately.Requests
}

// warning says whether the API or this side makes requests fail, or returns "" if few fail.
func (e *recentErrors) warning(now time.Time, o *outcomes) string {
	lately := e.over(5*time.Minute, now)
	failed, total := lately.Errors, lately.Requests
	api := failed[classLimited] + failed[classOverloaded] + failed[classFailed] + failed[classErrorEvent]
	ours, code := lately.ours()
	most := max(api, ours, failed[classUnknown], failed[classCut])
	switch {
	case total == 0 && lately.Refused >= fewDoubtful:
		return fmt.Sprintf("all %d requests of the last 5 minutes were refused, because access.allow does not list the sender, or access.browsers"+
			" the web page; to know them, %s", lately.Refused, o.see("status", "403"))
	case total < warnRequests, float64(most) < warnShare*float64(total):
		return ""
	case most == api:
		return fmt.Sprintf("it is the API: %d of %d requests of the last 5 minutes got an error from it (429: %d, 529: %d, other 5xx: %d, error events: %d);"+
			" 429 is a rate limit, which `oauth-proxyd limits` shows; for the others see https://status.anthropic.com",
			api, total, failed[classLimited], failed[classOverloaded], failed[classFailed], failed[classErrorEvent])
	case most == ours:
		verdict := "it is not the API"
		if codeTable[code].severity == breakdown {
			verdict = "it may not be the API"
		}
		return fmt.Sprintf("%s: %d of %d requests of the last 5 minutes got no response from it, most with the code %s, the last for %s; %s",
			verdict, ours, total, code, o.last[string(code)], o.fix(code))
	case most == failed[classUnknown]:
		return fmt.Sprintf("it may not be the API: %d of %d requests of the last 5 minutes got an error without the API's request-id,"+
			" which a proxy, firewall or portal on the path may have sent, the last for %s; run `oauth-proxyd doctor`", most, total, o.last[classUnknown])
	default:
		return fmt.Sprintf("%d of %d responses of the last 5 minutes were cut by the API or on the path to it, the last for %s; run `oauth-proxyd doctor`", most, total, o.last[classCut])
	}
}

// Describe implements prometheus.Collector.
func (o *outcomes) Describe(descs chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(o, descs)
}

// Collect implements prometheus.Collector.
func (o *outcomes) Collect(metrics chan<- prometheus.Metric) {
	requests := prometheus.NewDesc("proxy_recent_requests",
		"Requests of the last 1, 5 and 60 minutes that got a response of the upstream, or an error of this proxy.", []string{"window"}, nil)
	ratio := prometheus.NewDesc("proxy_recent_error_ratio",
		"Share of proxy_recent_requests that failed, by class: 429, 529, 5xx or 4xx (any other) or error_event (the end of a stream) from the API,"+
			" no_request_id (an error without the API's request-id), cut (a response that had begun, or a message that was incomplete), or proxy (an error of this proxy that is not the client's fault).",
		[]string{"window", "class"}, nil)
	for label, lately := range o.windows(time.Now()) {
		metrics <- prometheus.MustNewConstMetric(requests, prometheus.GaugeValue, float64(lately.Requests), label)
		for _, class := range errorClasses() {
			metrics <- prometheus.MustNewConstMetric(ratio, prometheus.GaugeValue, lately.Share(class), label, class)
		}
	}
}
