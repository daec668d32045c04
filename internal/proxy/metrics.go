package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"oauth-proxyd/internal/config"
)

// metrics counts what the proxy does. Dashboards and alerts depend on the names.
type metrics struct {
	requests     *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	firstByte    prometheus.Histogram
	upstreamErrs *prometheus.CounterVec
	errors       *prometheus.CounterVec
	retries      *prometheus.CounterVec
	clientGone   *prometheus.CounterVec
	cut          *prometheus.CounterVec
	bytes        prometheus.Counter
	headerRules  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: counters(r, "proxy_requests_total",
			"Requests that ended, by status (499: the client disconnected, or accepted nothing for idle_timeout) and method.", "status", "method"),
		duration: promauto.With(r).NewHistogramVec(prometheus.HistogramOpts{
			Name: "proxy_request_duration_seconds", Help: "Time from the header of a request to the last byte of its response.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800},
		}, []string{"status"}),
		firstByte: promauto.With(r).NewHistogram(prometheus.HistogramOpts{
			Name: "proxy_time_to_first_byte_seconds", Help: "Time from the header of a request to the header of the upstream's response.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600},
		}),
		upstreamErrs: counters(r, "proxy_upstream_errors_total",
			"Requests without a complete response from the upstream, by kind of error.", "error_type"),
		errors:     counters(r, "proxy_errors_total", "Error responses of this proxy, and responses that it cut, by error code.", "code"),
		retries:    counters(r, "proxy_retries_total", "Retries, by why the upstream cannot have processed the previous attempt.", "reason"),
		clientGone: counters(r, "proxy_client_gone_total", "Clients that disconnected, or accepted nothing for idle_timeout, before the end of their response, by phase.", "phase"),
		cut: counters(r, "proxy_responses_cut_total",
			"Responses that were cut after they had begun, by cause: upstream, timeout (it went silent), drain, client (a bad request body), or internal.", "by"),
		bytes: promauto.With(r).NewCounter(prometheus.CounterOpts{
			Name: "proxy_response_bytes_total", Help: "Bytes of response bodies sent to clients.",
		}),
		headerRules: counters(r, "proxy_header_rule_total",
			"Results of header rules. A rule that is always \"present\" is not needed; the condition of one that is always \"skipped\" never holds.",
			"header", "result"),
	}
	m.zero()
	return m
}

func counters(r prometheus.Registerer, name, help string, labels ...string) *prometheus.CounterVec {
	return promauto.With(r).NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// zero makes all series with known labels, so that a rate shows their first event.
func (m *metrics) zero() {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		for _, status := range usualStatuses() {
			m.requests.WithLabelValues(strconv.Itoa(status), method)
		}
	}
	// The other statuses would add many buckets that are rarely looked at.
	m.duration.WithLabelValues(strconv.Itoa(http.StatusOK))
	for code, row := range codeTable {
		m.errors.WithLabelValues(string(code))
		if row.metric != "" {
			m.upstreamErrs.WithLabelValues(row.metric)
		}
		if row.cutBy != "" {
			m.cut.WithLabelValues(row.cutBy)
		}
	}
	for _, r := range []string{retryConnect, retryNotProcessed} {
		m.retries.WithLabelValues(r)
	}
	for _, p := range []string{phaseReading, phaseQueued, phaseConnecting, phaseSending, phaseWaiting, phaseStreaming} {
		m.clientGone.WithLabelValues(p)
	}
}

// statusOverloaded is Anthropic's own status for an overload.
const statusOverloaded = 529

// usualStatuses returns the statuses of success, of our own errors, those that only net/http gives
// to a request included, and of the upstream's usual errors: no login, a rate limit, an overload.
func usualStatuses() []int {
	statuses := []int{
		http.StatusOK, http.StatusUnauthorized, http.StatusTooManyRequests, statusOverloaded, statusClientGone,
		http.StatusExpectationFailed, http.StatusHTTPVersionNotSupported,
	}
	for _, row := range codeTable {
		statuses = append(statuses, row.status)
	}
	return statuses
}

func (p *Proxy) registerQueue(r prometheus.Registerer) {
	gauge := func(name, help string, value func() int) {
		promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	gauge("proxy_requests_in_flight", "Requests that hold a slot.", func() int { in, _ := p.queue.counts(); return in })
	gauge("proxy_requests_queued", "Requests that wait for a slot.", func() int { _, waiting := p.queue.counts(); return waiting })
	gauge("proxy_requests_in_flight_limit", "How many requests may be in flight (proxy.max_connections).",
		func() int { return p.current.Load().Proxy.MaxConnections })
	gauge("proxy_requests_queued_limit", "How many requests may wait (proxy.queue_limit).",
		func() int { return p.current.Load().Proxy.QueueLimit })
}

// zeroRules makes all series of the header rules, so that a rate shows their first event.
func (m *metrics) zeroRules(rules []config.Header) {
	for _, rule := range rules {
		for _, result := range ruleResults() {
			m.headerRules.WithLabelValues(strings.ToLower(rule.Name), result)
		}
	}
}

func (m *metrics) observe(r *record) {
	status := statusLabel(r.Status)
	m.requests.WithLabelValues(status, methodLabel(r.Method)).Inc()
	observeTime(m.duration.WithLabelValues(status), r.Duration, r.TraceID)
	m.bytes.Add(float64(r.sent.Load()))
	if r.FirstByte > 0 {
		observeTime(m.firstByte, r.FirstByte, r.TraceID)
	}
	meaning, failed := r.failure()
	if !failed {
		if r.left {
			m.clientGone.WithLabelValues(r.Phase()).Inc()
		}
		return
	}
	m.errors.WithLabelValues(r.Outcome).Inc()
	if meaning.metric != "" {
		m.upstreamErrs.WithLabelValues(meaning.metric).Inc()
	}
	if r.FirstByte > 0 {
		m.cut.WithLabelValues(meaning.cutBy).Inc()
	}
}

// observeTime counts a time, with the trace ID as an exemplar for OpenMetrics.
func observeTime(to prometheus.Observer, took Millis, traceID string) {
	seconds := took.Duration().Seconds()
	if exemplars, ok := to.(prometheus.ExemplarObserver); ok && traceID != "" {
		exemplars.ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": traceID})
		return
	}
	to.Observe(seconds)
}

// statusLabel bounds the label, because an upstream can make up statuses.
func statusLabel(status int) string {
	if http.StatusText(status) == "" && status != statusClientGone && status != statusOverloaded {
		return "other"
	}
	return strconv.Itoa(status)
}

// methodLabel bounds the label, because clients can make up methods.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "other"
}
