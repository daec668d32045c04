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

// How requests fail, besides the codes of failures and the other outcomes: with these statuses of
// the API.
const (
	failedLimited    = "429"
	failedOverloaded = "529"
	failedOther5xx   = "5xx"
	failedOther4xx   = "4xx" // or with a redirect
)

// classProxy is the class of the metric for all our codes that are not the client's fault.
const classProxy = "proxy"

func errorClasses() []string {
	return []string{failedLimited, failedOverloaded, failedOther5xx, failedOther4xx, outcomeErrorEvent, outcomeForeign, outcomeIncomplete, classProxy}
}

// failedAs says how a request that has ended failed, or returns "" if it did not, or if its client
// left: the code of our failure, another outcome, or the status of the API's response.
func (t Trace) failedAs() string {
	switch {
	case t.Outcome == outcomeClientGone:
		return ""
	case t.Outcome != outcomeOK:
		return t.Outcome
	case t.Status < http.StatusMultipleChoices, t.Status == http.StatusNotModified:
		return ""
	case t.Status == http.StatusTooManyRequests:
		return failedLimited
	case t.Status == statusOverloaded:
		return failedOverloaded
	case t.Status >= http.StatusInternalServerError:
		return failedOther5xx
	}
	return failedOther4xx
}

// recentErrors counts the requests of the last hour when they end, to tell the upstream's failures
// from ours. Like clients, it is guarded by the lock of outcomes.
type recentErrors [recentSteps]recentCount

// recentCount is the count of one step.
type recentCount struct {
	step int64 // number of steps since 1970
	RecentErrors
}

// add counts a request that has ended. If its client left before a response, nothing is known.
func (e *recentErrors) add(r *record, v verdict, now time.Time) {
	step := stepOf(now)
	c := &e[step%recentSteps]
	if c.step != step {
		*c = recentCount{step, RecentErrors{Errors: make(map[string]int)}}
	}
	switch name := r.failedAs(); {
	case v == stranger:
		c.Refused++
	case name != "":
		c.Requests++
		c.Errors[name]++
	case r.FirstByte > 0:
		c.Requests++
	}
}

func stepOf(t time.Time) int64 { return t.Unix() / int64(recentStep/time.Second) }

// RecentErrors counts the requests that ended in a window that ends now.
type RecentErrors struct {
	Requests int `json:"requests"`
	// Errors says how many failed: 429, 529, 5xx and 4xx (any other) and error_event (the end of a
	// stream) are the API's, no_request_id is an error without the API's request-id, incomplete a
	// message that ended early, and all others are our own codes.
	Errors map[string]int `json:"errors"`
	// Refused is how many other requests were refused because the sender has no access.
	Refused int `json:"refused"`
}

// Share returns the share of requests that failed in this way; 0 without requests.
func (e RecentErrors) Share(name string) float64 {
	return float64(e.Errors[name]) / float64(max(1, e.Requests))
}

// over adds up the steps of a window.
func (e *recentErrors) over(window time.Duration, now time.Time) RecentErrors {
	all := RecentErrors{Errors: make(map[string]int)}
	first := stepOf(now.Add(-window)) + 1
	for _, c := range e {
		if c.step < first {
			continue
		}
		all.Requests += c.Requests
		all.Refused += c.Refused
		for name, n := range c.Errors {
			all.Errors[name] += n
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

// ours returns how many requests failed with one of our codes, except for the clients' own errors,
// and the most frequent of these codes.
func (e *RecentErrors) ours() (n int, worst Code) {
	for _, name := range slices.Sorted(maps.Keys(e.Errors)) {
		if code := Code(name); codeTable[code].verdict >= refusal {
			n += e.Errors[name]
			if e.Errors[name] > e.Errors[string(worst)] {
				worst = code
			}
		}
	}
	return n, worst
}

// errorWarning says whether the API or this side makes requests fail. It returns "" if few fail, or
// all: then Trouble says why.
func (o *outcomes) errorWarning(now time.Time) string {
	lately := o.recent.over(5*time.Minute, now)
	failed, total := lately.Errors, lately.Requests
	api := failed[failedLimited] + failed[failedOverloaded] + failed[failedOther5xx] + failed[outcomeErrorEvent]
	ours, code := lately.ours()
	most := max(api, ours, failed[outcomeForeign])
	switch {
	case total == 0 && lately.Refused >= fewDoubtful:
		return fmt.Sprintf("all %d requests of the last 5 minutes were refused, because access.allow does not list the sender, or access.browsers"+
			" the web page; to know them, %s", lately.Refused, o.see("status", "403"))
	case total < warnRequests, float64(most) < warnShare*float64(total), o.stats.InARow >= total:
		return ""
	case most == api:
		return fmt.Sprintf("it is the API: %d of %d requests of the last 5 minutes got an error from it (429: %d, 529: %d, other 5xx: %d, error events: %d);"+
			" 429 is a rate limit, which `oauth-proxyd limits` shows; for the others see https://status.anthropic.com",
			api, total, failed[failedLimited], failed[failedOverloaded], failed[failedOther5xx], failed[outcomeErrorEvent])
	case most == ours:
		verdict := "it is not the API"
		if codeTable[code].verdict == breakdown {
			verdict = "it may not be the API"
		}
		return fmt.Sprintf("%s: %d of %d requests of the last 5 minutes failed, most with the code %s; %s", verdict, ours, total, code, o.fix(code))
	default:
		return fmt.Sprintf("it may not be the API: %d of %d requests of the last 5 minutes got an error without the API's request-id,"+
			" which a proxy, firewall or portal on the path may have sent; run `oauth-proxyd doctor`", most, total)
	}
}

func (o *outcomes) Describe(descs chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(o, descs)
}

func (o *outcomes) Collect(metrics chan<- prometheus.Metric) {
	requests := prometheus.NewDesc("proxy_recent_requests",
		"Requests that ended in the last 1, 5 and 60 minutes with a response of the upstream, or an error of this proxy.", []string{"window"}, nil)
	ratio := prometheus.NewDesc("proxy_recent_error_ratio",
		"Share of proxy_recent_requests that failed, by class: 429, 529, 5xx or 4xx (any other) or error_event (the end of a stream) from the API,"+
			" no_request_id (an error without the API's request-id), incomplete (a message that ended early), or proxy (an error of this proxy, or a response that it cut, that is not the client's fault).",
		[]string{"window", "class"}, nil)
	for label, lately := range o.windows(time.Now()) {
		metrics <- prometheus.MustNewConstMetric(requests, prometheus.GaugeValue, float64(lately.Requests), label)
		lately.Errors[classProxy], _ = lately.ours()
		for _, class := range errorClasses() {
			metrics <- prometheus.MustNewConstMetric(ratio, prometheus.GaugeValue, lately.Share(class), label, class)
		}
	}
}
