package proxy

import (
	"fmt"
	"net/http"
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

// The classes of errors. The API sends a request-id with each response, so one without it may not
// be the API's.
const (
	classLimited    = "429"
	classOverloaded = "529"
	classFailed     = "5xx" // any other 5xx
	classUnknown    = "no_request_id"
	classCut        = "cut" // by the upstream or on the path to it, after it had begun
	classProxy      = "proxy"
)

func errorClasses() []string {
	return []string{classLimited, classOverloaded, classFailed, classUnknown, classCut, classProxy}
}

// errorClass returns the class of a response of the upstream, or "" if it is no error.
func errorClass(status int, upstreamID string) string {
	switch {
	case status != http.StatusTooManyRequests && status < http.StatusInternalServerError:
		return ""
	case upstreamID == "":
		return classUnknown
	case status == http.StatusTooManyRequests:
		return classLimited
	case status == statusOverloaded:
		return classOverloaded
	default:
		return classFailed
	}
}

// recentErrors counts the responses of the last hour, to tell the upstream's failures from ours. A
// response counts when it begins, because a stream may last long. If it is cut, it counts at that
// time instead. Like clients, it is guarded by the lock of outcomes.
type recentErrors [recentSteps]recentCount

// recentCount is the count of one step.
type recentCount struct {
	step int64 // number of steps since 1970
	RecentErrors
}

// add counts a response with its class of error, or "" without one.
func (e *recentErrors) add(class string, now time.Time) {
	step := stepOf(now)
	c := &e[step%recentSteps]
	if c.step != step {
		*c = recentCount{step, RecentErrors{Errors: make(map[string]int)}}
	}
	c.Requests++
	if class != "" {
		c.Errors[class]++
	}
}

// cut counts a response without an error that began then and is cut now.
func (e *recentErrors) cut(then, now time.Time) {
	if c := &e[stepOf(then)%recentSteps]; c.step == stepOf(then) {
		c.Requests--
	}
	e.add(classCut, now)
}

func stepOf(t time.Time) int64 { return t.Unix() / int64(recentStep/time.Second) }

// RecentErrors counts the requests of a window that ends now.
type RecentErrors struct {
	Requests int `json:"requests"`
	// Errors says how many failed, by class: 429, 529 and 5xx (any other) for the API's,
	// no_request_id for one of these without the API's request-id, cut for a response that did not
	// end well, and proxy for a 5xx of our own.
	Errors map[string]int `json:"errors"`
}

// Share returns the share of requests with an error of these classes; 0 without requests.
func (e RecentErrors) Share(classes ...string) float64 {
	failed := 0
	for _, class := range classes {
		failed += e.Errors[class]
	}
	return float64(failed) / float64(max(1, e.Requests))
}

// over adds up the steps of a window.
func (e *recentErrors) over(window time.Duration, now time.Time) RecentErrors {
	all := RecentErrors{Errors: make(map[string]int)}
	for _, class := range errorClasses() {
		all.Errors[class] = 0
	}
	first := stepOf(now.Add(-window)) + 1
	for _, c := range e {
		if c.step < first {
			continue
		}
		all.Requests += c.Requests
		for class, n := range c.Errors {
			all.Errors[class] += n
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

// warning says whether the API or this side makes requests fail, or returns "" if few fail.
func (e *recentErrors) warning(now time.Time) string {
	lately := e.over(5*time.Minute, now)
	failed, total := lately.Errors, lately.Requests
	api := failed[classLimited] + failed[classOverloaded] + failed[classFailed]
	most := max(api, failed[classProxy], failed[classUnknown], failed[classCut])
	switch {
	case total < warnRequests, float64(most) < warnShare*float64(total):
		return ""
	case most == api:
		return fmt.Sprintf("it is the API: %d of %d requests of the last 5 minutes got an error from it (429: %d, 529: %d, other 5xx: %d);"+
			" 429 is a rate limit, which `oauth-proxyd limits` shows; for the others see https://status.anthropic.com",
			api, total, failed[classLimited], failed[classOverloaded], failed[classFailed])
	case most == failed[classProxy]:
		return fmt.Sprintf("it is not the API: %d of %d requests of the last 5 minutes failed here or on the path to it; run `oauth-proxyd doctor`", most, total)
	case most == failed[classUnknown]:
		return fmt.Sprintf("it may not be the API: %d of %d requests of the last 5 minutes got a 429 or 5xx without the API's request-id,"+
			" which a proxy, firewall or portal on the path may have sent; run `oauth-proxyd doctor`", most, total)
	default:
		return fmt.Sprintf("%d of %d responses of the last 5 minutes were cut by the API or on the path to it; run `oauth-proxyd doctor`", most, total)
	}
}

// Describe implements prometheus.Collector.
func (o *outcomes) Describe(descs chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(o, descs)
}

// Collect implements prometheus.Collector.
func (o *outcomes) Collect(metrics chan<- prometheus.Metric) {
	requests := prometheus.NewDesc("proxy_recent_requests",
		"Requests of the last 1, 5 and 60 minutes that got a response of the upstream, or a 5xx of this proxy.", []string{"window"}, nil)
	ratio := prometheus.NewDesc("proxy_recent_error_ratio",
		"Share of proxy_recent_requests that failed, by class: 429, 529 or 5xx (any other) from the API, no_request_id (one of these without"+
			" the API's request-id), cut (a response that had begun), or proxy (a 5xx of this proxy).",
		[]string{"window", "class"}, nil)
	for label, lately := range o.windows(time.Now()) {
		metrics <- prometheus.MustNewConstMetric(requests, prometheus.GaugeValue, float64(lately.Requests), label)
		for _, class := range errorClasses() {
			metrics <- prometheus.MustNewConstMetric(ratio, prometheus.GaugeValue, lately.Share(class), label, class)
		}
	}
}
