package daemon

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/proxy"
)

// daemonMetrics are the metrics that are not about requests. Most are read from
// the view when they are asked for, so that they cannot lag behind it.
type daemonMetrics struct {
	reloadOK      prometheus.Gauge
	reloadSuccess prometheus.Gauge
	textfileOK    prometheus.Gauge
}

func newDaemonMetrics(d *daemon) (*daemonMetrics, error) {
	m := &daemonMetrics{
		reloadOK:      gauge("proxy_config_last_reload_successful", "1 if the last load of the configuration succeeded."),
		reloadSuccess: gauge("proxy_config_last_reload_success_timestamp_seconds", "When the configuration in force was loaded."),
		textfileOK:    gauge("proxy_textfile_last_write_successful", "0 while metrics.textfile cannot be written."),
	}
	m.textfileOK.Set(1)
	build := gaugeFunc("proxy_build_info", "1, with the version of the program and of Go.",
		prometheus.Labels{"version": d.options.Version, "goversion": runtime.Version()}, func() float64 { return 1 })
	// node_exporter has a process_start_time_seconds of its own, so that ours is not in
	// the textfile.
	started := gaugeFunc("proxy_start_time_seconds", "When this process started.", nil, func() float64 {
		return float64(d.started.UnixMilli()) / 1000
	})
	all := slices.Concat(d.tailnetGauges(), d.predecessorGauges(), d.connectionGauges())
	all = append(all, m.reloadOK, m.reloadSuccess, m.textfileOK, build, started,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "proxy_log_records_dropped_total", Help: "Log records that were dropped because they could not be written in time.",
		}, func() float64 { return float64(d.logs.Dropped()) }))
	for p := range lifecycle.Stopped + 1 {
		all = append(all, gaugeFunc("proxy_state", "1 for the current state.",
			prometheus.Labels{"state": p.String()}, func() float64 { return truth(d.view.lifecycle().Phase == p) }))
	}
	for _, c := range all {
		if err := d.registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
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

func (d *daemon) tailnetGauges() []prometheus.Collector {
	return []prometheus.Collector{
		gaugeFunc("tailnet_connected", "1 while tailscaled is connected to the tailnet.", nil, func() float64 {
			return truth(d.view.lifecycle().Tailnet == lifecycle.TailnetUp)
		}),
		gaugeFunc("tailnet_required", "1 if the configuration wants a tailnet (tailscale.required).", nil, func() float64 {
			return truth(d.view.lifecycle().TailnetRequired())
		}),
		gaugeFunc("tailnet_key_expiry_timestamp_seconds", "When this node's key expires; 0: never, or not known.", nil, func() float64 {
			if r := d.view.tailnetReport(); r != nil && !r.Status.KeyExpiry.IsZero() {
				return float64(r.Status.KeyExpiry.Unix())
			}
			return 0
		}),
		gaugeFunc("tailnet_health_warnings", "Warnings of tailscaled that lasted.", nil, func() float64 {
			if r := d.view.tailnetReport(); r != nil {
				return float64(len(r.Status.Warnings))
			}
			return 0
		}),
	}
}

// connectionGauges tell admitted connections, and strangers: those without an admitted request
// so far.
func (d *daemon) connectionGauges() []prometheus.Collector {
	var all []prometheus.Collector
	for admitted, of := range map[string]func(inbound.ConnectionStats) (open, limit int){
		"true":  func(s inbound.ConnectionStats) (int, int) { return s.Admitted, s.AdmittedLimit },
		"false": func(s inbound.ConnectionStats) (int, int) { return s.Strangers, s.StrangersLimit },
	} {
		label := prometheus.Labels{"admitted": admitted}
		all = append(all,
			gaugeFunc("proxy_connections_open", "Open connections of clients, by whether a request on them was admitted.", label,
				func() float64 { open, _ := of(d.view.connections()); return float64(open) }),
			gaugeFunc("proxy_connections_open_limit", "How many may be open.", label,
				func() float64 { _, limit := of(d.view.connections()); return float64(limit) }))
	}
	return all
}

func (d *daemon) predecessorGauges() []prometheus.Collector {
	return []prometheus.Collector{
		gaugeFunc("proxy_old_processes", "Processes that finish their requests after an upgrade.", nil, func() float64 {
			return float64(len(d.predecessors()))
		}),
		gaugeFunc("proxy_old_processes_requests_in_flight", "Requests in flight in those processes.", nil, func() float64 {
			return float64(left(d.predecessors()))
		}),
	}
}

func (m *daemonMetrics) reloadSucceeded(at time.Time) {
	m.reloadOK.Set(1)
	m.reloadSuccess.Set(float64(at.UnixMilli()) / 1000)
}

func (m *daemonMetrics) reloadFailed() { m.reloadOK.Set(0) }

// processMetrics are those that node_exporter has of its own, and that the textfile
// must therefore leave out.
func processMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// serveMetrics serves those whom metrics.allow admits, and no web page that goes by another name.
func (d *daemon) serveMetrics(p *proxy.Proxy, w http.ResponseWriter, r *http.Request) {
	_, err := p.Judge(r, d.view.config().Metrics.Allow)
	if err == nil && !d.asksByOwnName(r) {
		err = proxy.Refusal(proxy.CodeBrowserRefused, "the Host of this request is no name of this node, as if a web page made it; ask by an address, as localhost, or by the node's own name")
	}
	if err == nil {
		err = d.shown.serve(w, r)
	}
	if err != nil {
		p.Refuse(w, r, err)
	}
}
