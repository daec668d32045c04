package daemon

import (
	"runtime"
	"strconv"
	"time"

	"oauth-proxyd/internal/lifecycle"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// registerMetrics adds the metrics that are not about requests. Each is read from the view when it
// is gathered, so that it cannot lag behind.
func (d *daemon) registerMetrics(r *prometheus.Registry) {
	gauge := func(name, help string, value func(*view) float64) {
		r.MustRegister(gaugeFunc(name, help, nil, func() float64 { return value(d.view()) }))
	}
	gauge("proxy_config_last_reload_successful", "0 after a reload that was refused.",
		func(v *view) float64 { return truth(v.reload == nil || v.reload.OK) })
	gauge("proxy_config_last_reload_success_timestamp_seconds", "When the current configuration was loaded.",
		func(v *view) float64 { return seconds(v.loadedAt) })
	gauge("proxy_textfile_last_write_successful", "0 while metrics.textfile cannot be written.",
		func(*view) float64 { return truth(d.textfile.failure.Load() == nil) })
	// The textfile has no process_start_time_seconds, because node_exporter has one of its own.
	gauge("proxy_start_time_seconds", "When this process started.", func(*view) float64 { return seconds(d.started) })
	gauge("proxy_predecessors", "Predecessors, which finish their requests after an upgrade.",
		func(v *view) float64 { return float64(len(v.predecessors)) })
	gauge("proxy_predecessors_requests_in_flight", "Requests in flight in predecessors after an upgrade.",
		func(v *view) float64 { return float64(v.predecessorsInFlight()) })
	gauge("tailnet_connected", "1 while tailscaled is connected to the tailnet.",
		func(v *view) float64 { return truth(v.state.Tailnet == lifecycle.TailnetUp) })
	gauge("tailnet_required", "1 if the configuration requires a tailnet (tailscale.required).",
		func(v *view) float64 { return truth(v.state.TailnetRequired()) })
	gauge("tailnet_key_expiry_timestamp_seconds", "When this node's key expires; 0: never, or not known.",
		func(v *view) float64 { return seconds(v.tailnet.Status.KeyExpiry) })
	gauge("tailnet_health_warnings", "Persistent warnings of tailscaled.",
		func(v *view) float64 { return float64(len(v.tailnet.Status.Warnings)) })
	for p := range lifecycle.Stopped + 1 {
		r.MustRegister(gaugeFunc("proxy_state", "1 for the current state.", prometheus.Labels{"state": p.String()},
			func() float64 { return truth(d.view().state.Phase == p) }))
	}
	d.registerConnections(r)
	r.MustRegister(
		gaugeFunc("proxy_build_info", "1, with the version of the program and of Go.",
			prometheus.Labels{"version": d.options.Version, "goversion": runtime.Version()}, func() float64 { return 1 }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "proxy_log_records_dropped_total", Help: "Log records dropped because the log could not be written, or not in time.",
		}, func() float64 { return float64(d.logs.Dropped()) }))
}

func (d *daemon) registerConnections(r *prometheus.Registry) {
	for _, admitted := range []bool{true, false} {
		label := prometheus.Labels{"admitted": strconv.FormatBool(admitted)}
		stats := func() (open, limit int, closed uint64) {
			s := d.view().server.Connections()
			if admitted {
				return s.Admitted, s.AdmittedLimit, s.AdmittedClosed
			}
			return s.Strangers, s.StrangersLimit, s.StrangersClosed
		}
		r.MustRegister(
			gaugeFunc("proxy_connections_open", "Open connections of clients, by whether a request on them was admitted.", label,
				func() float64 { open, _, _ := stats(); return float64(open) }),
			gaugeFunc("proxy_connections_open_limit", "How many connections may be open, by whether a request on them was admitted.", label,
				func() float64 { _, limit, _ := stats(); return float64(limit) }),
			prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "proxy_connections_closed_total", ConstLabels: label,
				Help: "Connections closed because of the connection limits.",
			}, func() float64 { _, _, closed := stats(); return float64(closed) }))
	}
}

func gaugeFunc(name, help string, labels prometheus.Labels, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds is a timestamp of Prometheus; 0: there is none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// processMetrics returns the metrics that the textfile leaves out, because node_exporter has them
// of its own process.
func processMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
