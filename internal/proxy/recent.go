package proxy

import (
	"fmt"
	"net/http"
	"sync"
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

// The classes of errors: three of the upstream, and our own responses with 5xx.
const (
	classLimited    = "429"
	classOverloaded = "529"
	classFailed     = "5xx" // any other 5xx
	classProxy      = "proxy"
)

func errorClasses() []string {
	return []string{classLimited, classOverloaded, classFailed, classProxy}
}

// errorClass returns the class of a response of the upstream, or "" if it is no error.
func errorClass(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return classLimited
	case status == statusOverloaded:
		return classOverloaded
	case status >= http.StatusInternalServerError:
		return classFailed
	default:
		return ""
	}
}

// recentErrors counts the responses of the last hour, to tell the upstream's failures from ours. A
// response counts when it begins, because a stream may last long.
type recentErrors struct {
	mu    sync.Mutex
	steps [recentSteps]recentCount
}

// recentCount is the count of one step.
type recentCount struct {
	step int64 // number of steps since 1970
	RecentErrors
}

// add counts a response with its class of error, or "" without one.
func (e *recentErrors) add(class string, now time.Time) {
	step := stepOf(now)
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &e.steps[step%recentSteps]
	if c.step != step {
		*c = recentCount{step, RecentErrors{Errors: make(map[string]int)}}
	}
	c.Requests++
	if class != "" {
		c.Errors[class]++
	}
}

func stepOf(t time.Time) int64 { return t.Unix() / int64(recentStep/time.Second) }

// RecentErrors counts the requests of a window that ends now.
type RecentErrors struct {
	Requests int `json:"requests"`
	// Errors says how many failed, by class: 429, 529 and 5xx (any other) for the upstream's, and
	// proxy for a 5xx of our own.
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
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.steps {
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
	return p.outcomes.recent.windows(now)
}

func (e *recentErrors) windows(now time.Time) map[string]RecentErrors {
	all := make(map[string]RecentErrors)
	for label, window := range map[string]time.Duration{"1m": time.Minute, "5m": 5 * time.Minute, "60m": time.Hour} {
		all[label] = e.over(window, now)
	}
	return all
}

// warning says whether the API or this side makes requests fail, or returns "" if few fail.
func (e *recentErrors) warning(now time.Time) string {
	lately := e.over(5*time.Minute, now)
	failed, api := lately.Errors, lately.Share(classLimited, classOverloaded, classFailed)
	ours := lately.Share(classProxy)
	switch {
	case lately.Requests < warnRequests, max(api, ours) < warnShare:
		return ""
	case ours > api:
		return fmt.Sprintf("it is not the API: %d of %d requests of the last 5 minutes failed here or on the path to it; run `oauth-proxyd doctor`",
			failed[classProxy], lately.Requests)
	default:
		return fmt.Sprintf("it is the API: %d of %d requests of the last 5 minutes got an error from it (429: %d, 529: %d, other 5xx: %d);"+
			" 429 is a rate limit, which `oauth-proxyd limits` shows; for the others see https://status.anthropic.com",
			failed[classLimited]+failed[classOverloaded]+failed[classFailed], lately.Requests, failed[classLimited], failed[classOverloaded], failed[classFailed])
	}
}

// Describe implements prometheus.Collector.
func (e *recentErrors) Describe(descs chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(e, descs)
}

// Collect implements prometheus.Collector.
func (e *recentErrors) Collect(metrics chan<- prometheus.Metric) {
	requests := prometheus.NewDesc("proxy_recent_requests",
		"Requests of the last 1, 5 and 60 minutes that got a response of the upstream, or a 5xx of this proxy.", []string{"window"}, nil)
	ratio := prometheus.NewDesc("proxy_recent_error_ratio",
		"Share of proxy_recent_requests that failed, by class: 429, 529 or 5xx (any other) from the upstream, or proxy (a 5xx of this proxy).",
		[]string{"window", "class"}, nil)
	for label, lately := range e.windows(time.Now()) {
		metrics <- prometheus.MustNewConstMetric(requests, prometheus.GaugeValue, float64(lately.Requests), label)
		for _, class := range errorClasses() {
			metrics <- prometheus.MustNewConstMetric(ratio, prometheus.GaugeValue, lately.Share(class), label, class)
		}
	}
}
