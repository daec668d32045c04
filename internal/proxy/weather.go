package proxy

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Requests are counted in steps of weatherStep, of which the last weatherSteps are remembered.
const (
	weatherStep  = 10 * time.Second
	weatherSteps = int64(time.Hour / weatherStep)
)

// There is a warning if at least weatherShare of the last 5 minutes' requests failed, and there
// were at least weatherLeast.
const (
	weatherShare = 0.1
	weatherLeast = 10
)

// The classes of errors: three of the upstream, and our own responses with 5xx.
const (
	weatherLimited    = "429"
	weatherOverloaded = "529"
	weatherFailed     = "5xx" // any other 5xx
	weatherProxy      = "proxy"
)

func weatherClasses() []string {
	return []string{weatherLimited, weatherOverloaded, weatherFailed, weatherProxy}
}

// weatherWindows returns the windows for which shares are reported, by label.
func weatherWindows() map[string]time.Duration {
	return map[string]time.Duration{"1m": time.Minute, "5m": 5 * time.Minute, "60m": time.Hour}
}

// weather counts the responses of the last hour, to tell the upstream's failures from ours. A
// response counts when it begins, because a stream may last long.
type weather struct {
	mu    sync.Mutex
	steps [weatherSteps]weatherCount
}

// weatherCount is the count of one step.
type weatherCount struct {
	step     int64 // number of steps since 1970
	requests int
	errors   map[string]int // by class
}

// respond counts a response of the upstream.
func (w *weather) respond(status int) {
	switch {
	case status == http.StatusTooManyRequests:
		w.add(weatherLimited)
	case status == statusOverloaded:
		w.add(weatherOverloaded)
	case status >= http.StatusInternalServerError:
		w.add(weatherFailed)
	default:
		w.add("")
	}
}

// add counts a request with its class of error, or "" without one.
func (w *weather) add(class string) {
	step := time.Now().Unix() / int64(weatherStep/time.Second)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.steps[step%weatherSteps]
	if c.step != step {
		*c = weatherCount{step: step, errors: make(map[string]int)}
	}
	c.requests++
	if class != "" {
		c.errors[class]++
	}
}

// Weather counts the requests of a window that ends now.
type Weather struct {
	Requests int `json:"requests"`
	// Errors says how many failed, by class: 429, 529 and 5xx (any other) for the upstream's, and
	// proxy for a 5xx of our own.
	Errors map[string]int `json:"errors"`
}

// Share returns the share of requests with an error of these classes; 0 without requests.
func (w Weather) Share(classes ...string) float64 {
	failed := 0
	for _, class := range classes {
		failed += w.Errors[class]
	}
	return float64(failed) / float64(max(1, w.Requests))
}

// over adds up the steps of a window.
func (w *weather) over(window time.Duration, now time.Time) Weather {
	all := Weather{Errors: make(map[string]int)}
	for _, class := range weatherClasses() {
		all.Errors[class] = 0
	}
	first := now.Add(-window).Unix()/int64(weatherStep/time.Second) + 1
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.steps {
		if c.step < first {
			continue
		}
		all.Requests += c.requests
		for class, n := range c.errors {
			all.Errors[class] += n
		}
	}
	return all
}

// Weather returns the counts for the windows 1m, 5m and 60m.
func (p *Proxy) Weather(now time.Time) map[string]Weather {
	all := make(map[string]Weather)
	for label, window := range weatherWindows() {
		all[label] = p.metrics.weather.over(window, now)
	}
	return all
}

// warning says whether the API or this side makes requests fail, or returns "" if few fail.
func (w *weather) warning(now time.Time) string {
	lately := w.over(5*time.Minute, now)
	e, api := lately.Errors, lately.Share(weatherLimited, weatherOverloaded, weatherFailed)
	ours := lately.Share(weatherProxy)
	switch {
	case lately.Requests < weatherLeast, max(api, ours) < weatherShare:
		return ""
	case ours > api:
		return fmt.Sprintf("it is not the API: %d of %d requests of the last 5 minutes failed here or on the path to it; run `oauth-proxyd doctor`",
			e[weatherProxy], lately.Requests)
	default:
		return fmt.Sprintf("it is the API: %d of %d requests of the last 5 minutes got an error from it (429: %d, 529: %d, other 5xx: %d);"+
			" 429 is a rate limit, which `oauth-proxyd limits` shows; for the others see https://status.anthropic.com",
			e[weatherLimited]+e[weatherOverloaded]+e[weatherFailed], lately.Requests, e[weatherLimited], e[weatherOverloaded], e[weatherFailed])
	}
}

// Describe implements prometheus.Collector.
func (w *weather) Describe(descs chan<- *prometheus.Desc) { prometheus.DescribeByCollect(w, descs) }

// Collect implements prometheus.Collector.
func (w *weather) Collect(metrics chan<- prometheus.Metric) {
	requests := prometheus.NewDesc("proxy_recent_requests",
		"Requests of the last 1, 5 and 60 minutes that got a response of the upstream, or a 5xx of this proxy.", []string{"window"}, nil)
	ratio := prometheus.NewDesc("proxy_recent_error_ratio",
		"Share of proxy_recent_requests that failed, by class: 429, 529 or 5xx (any other) from the upstream, or proxy (a 5xx of this proxy).",
		[]string{"window", "class"}, nil)
	now := time.Now()
	for label, window := range weatherWindows() {
		lately := w.over(window, now)
		metrics <- prometheus.MustNewConstMetric(requests, prometheus.GaugeValue, float64(lately.Requests), label)
		for _, class := range weatherClasses() {
			metrics <- prometheus.MustNewConstMetric(ratio, prometheus.GaugeValue, lately.Share(class), label, class)
		}
	}
}
