package proxy

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// weatherStep is the time that is counted together, and weatherSteps of them are remembered.
const (
	weatherStep  = 10 * time.Second
	weatherSteps = int64(time.Hour / weatherStep)
)

// Status warns if at least weatherShare of the requests of 5 minutes failed, and there were
// weatherLeast of them.
const (
	weatherShare = 0.1
	weatherLeast = 10
)

// The classes of errors by whose they are: the upstream's, or our own responses with 5xx.
const (
	weatherLimited    = "429"
	weatherOverloaded = "529"
	weatherFailed     = "5xx" // another one
	weatherProxy      = "proxy"
)

func weatherClasses() []string {
	return []string{weatherLimited, weatherOverloaded, weatherFailed, weatherProxy}
}

// weatherWindows are the times over which shares are told, by their label.
func weatherWindows() map[string]time.Duration {
	return map[string]time.Duration{"1m": time.Minute, "5m": 5 * time.Minute, "60m": time.Hour}
}

// weather counts the responses of the last hour, to tell the upstream's failures from ours. A
// response counts when it begins: errors end soon and streams do not.
type weather struct {
	mu    sync.Mutex
	steps [weatherSteps]weatherCount
}

// weatherCount is what happened in one step.
type weatherCount struct {
	step     int64 // since 1970
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

// add counts a request with its class of error; empty: there was none.
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

// Weather is what became of the requests of a window that ends now.
type Weather struct {
	Requests int `json:"requests"`
	// Errors are how many of them failed, by class: 429, 529 and another 5xx of the upstream, and
	// proxy, a 5xx of our own.
	Errors map[string]int `json:"errors"`
}

// Share is that of the classes of errors among the requests; 0 if there were none.
func (w Weather) Share(classes ...string) float64 {
	failed := 0
	for _, class := range classes {
		failed += w.Errors[class]
	}
	return float64(failed) / float64(max(1, w.Requests))
}

// over adds up a window.
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

// Weather is by window: 1m, 5m and 60m.
func (p *Proxy) Weather(now time.Time) map[string]Weather {
	all := make(map[string]Weather)
	for label, window := range weatherWindows() {
		all[label] = p.metrics.weather.over(window, now)
	}
	return all
}

// warning says whose fault it is that requests fail; empty: few do.
func (w *weather) warning(now time.Time) string {
	lately := w.over(5*time.Minute, now)
	e, api := lately.Errors, lately.Share(weatherLimited, weatherOverloaded, weatherFailed)
	ours := lately.Share(weatherProxy)
	switch {
	case lately.Requests < weatherLeast, max(api, ours) < weatherShare:
		return ""
	case ours > api:
		return fmt.Sprintf("it is not the API: %d of %d requests of 5 minutes failed here or on the path to it; run `oauth-proxyd doctor`",
			e[weatherProxy], lately.Requests)
	default:
		return fmt.Sprintf("it is the API: %d of %d requests of 5 minutes got an error from it (429: %d, 529: %d, other 5xx: %d);"+
			" 429 is the limit of an account, for the rest see https://status.anthropic.com",
			e[weatherLimited]+e[weatherOverloaded]+e[weatherFailed], lately.Requests, e[weatherLimited], e[weatherOverloaded], e[weatherFailed])
	}
}

func (w *weather) descs() (requests, ratio *prometheus.Desc) {
	return prometheus.NewDesc("proxy_recent_requests",
			"Requests of the last 1, 5 and 60 minutes that the upstream responded to or that failed here with 5xx.", []string{"window"}, nil),
		prometheus.NewDesc("proxy_recent_error_ratio",
			"The share of them that failed: with 429, 529 or another 5xx of the upstream, or with a 5xx of this proxy.", []string{"window", "class"}, nil)
}

// Describe implements prometheus.Collector.
func (w *weather) Describe(descs chan<- *prometheus.Desc) {
	requests, ratio := w.descs()
	descs <- requests
	descs <- ratio
}

// Collect implements prometheus.Collector.
func (w *weather) Collect(metrics chan<- prometheus.Metric) {
	requests, ratio := w.descs()
	now := time.Now()
	for label, window := range weatherWindows() {
		lately := w.over(window, now)
		metrics <- prometheus.MustNewConstMetric(requests, prometheus.GaugeValue, float64(lately.Requests), label)
		for _, class := range weatherClasses() {
			metrics <- prometheus.MustNewConstMetric(ratio, prometheus.GaugeValue, lately.Share(class), label, class)
		}
	}
}
