package monitoring_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

// TestARunWithTrafficOfAllKinds asks a real Prometheus what it learnt from a real run.
func TestARunWithTrafficOfAllKinds(t *testing.T) {
	d := startDaemon(t)
	c := newClient(t, d.url)
	promtool(t, c.metrics(), "check", "metrics")
	p := startPrometheus(t, d)
	provoke(t, d, c)
	promtool(t, c.metrics(), "check", "metrics")
	p.haveAll(t, c)

	t.Run("every query of the dashboard has data", p.queriesDashboard)
	t.Run("the queries tell what happened", p.tellsWhatHappened)
	t.Run("every rule is evaluated", p.evaluatesRules)
	t.Run("alerts are raised for what happened and for nothing else", p.raisesAlerts)
}

// provoke has everything happen that a dashboard tells of. At the end no upstream is there, and a
// bad configuration has been refused.
func provoke(t *testing.T, d *daemon, c client) {
	t.Helper()
	c.work()
	c.crowd(d.held)
	d.use(t, d.upstream, time.Second)
	c.trouble()
	c.work()
	d.use(t, "http://127.0.0.1:9", time.Second) // the port of discard, where nobody listens
	for range 25 {
		c.want(502, c.message("m"), "no upstream")
		c.want(403, c.message("m", "X-Forwarded-For", "192.0.2.1"), "a client behind another proxy")
	}
	write(t, d.file(), "proxy {")
	if d.reload(t) {
		t.Fatal("a bad configuration was accepted")
	}
}

// haveAll waits until Prometheus has scraped the end of the story from both sources.
func (p *prometheus) haveAll(t *testing.T, c client) {
	t.Helper()
	c.waitFor("\nproxy_requests_in_flight 0\n")
	for _, expr := range []string{
		`proxy_config_last_reload_successful == 0`,
		`proxy_requests_total{status="502", method="POST"} >= 25`,
		`proxy_client_gone_total{phase="streaming"} >= 1`,
	} {
		daemontest.Eventually(t, "both sources have "+expr, func() bool {
			s, err := p.query(expr)
			return err == nil && len(s) == 2
		})
	}
}

// dashboardExpr fills in what Grafana does.
func dashboardExpr(expr string) string {
	return strings.NewReplacer("$instance", ".+", "$__rate_interval", "1m", "$__range", "5m", "$__interval", "15s").Replace(expr)
}

func (p *prometheus) queriesDashboard(t *testing.T) {
	d := loadDashboard(t)
	for _, panel := range d.graphs() {
		for _, q := range panel.Targets {
			p.hasData(t, panel.Title+" "+q.RefID, dashboardExpr(q.Expr))
		}
	}
	for _, a := range d.Annotations.List {
		if a.BuiltIn == 0 {
			p.hasData(t, a.Name, dashboardExpr(a.Expr))
		}
	}
	hosts, err := p.query(`count by (instance) (proxy_build_info)`)
	if err != nil || len(hosts) != 2 {
		t.Errorf("the hosts to choose from: %v, %v", hosts, err)
	}
}

// hasData wants numbers, now and over time.
func (p *prometheus) hasData(t *testing.T, what, expr string) {
	t.Helper()
	samples, err := p.query(expr)
	if err != nil || len(samples) == 0 {
		t.Errorf("%s: %d series, %v: %s", what, len(samples), err, expr)
		return
	}
	number := false
	for _, s := range samples {
		number = number || !math.IsNaN(s.value) && !math.IsInf(s.value, 0)
	}
	if !number {
		t.Errorf("%s: nothing but NaN and infinity: %s", what, expr)
	}
	if n, err := p.points(expr); err != nil || n < 2 {
		t.Errorf("%s: %d points, %v: %s", what, n, err, expr)
	}
}

// tellsWhatHappened looks at what must not be 0 after what was provoked.
func (p *prometheus) tellsWhatHappened(t *testing.T) {
	for _, series := range []string{
		`proxy_requests_total{status="200", method="POST"}`, `proxy_requests_total{status="200", method="HEAD"}`,
		`proxy_requests_total{status="401"}`, `proxy_requests_total{status="429"}`,
		`proxy_requests_total{status="499"}`, `proxy_requests_total{status="529"}`,
		`proxy_upstream_errors_total{error_type="connection"}`, `proxy_upstream_errors_total{error_type="timeout"}`,
		`proxy_upstream_errors_total{error_type="response_read"}`, `proxy_upstream_errors_total{error_type="invalid_request"}`,
		`proxy_errors_total{code="upstream_connect"}`, `proxy_errors_total{code="upstream_header_timeout"}`,
		`proxy_errors_total{code="overloaded"}`, `proxy_errors_total{code="upgrade_refused"}`,
		`proxy_responses_cut_total{by="upstream"}`, `proxy_responses_cut_total{by="timeout"}`,
		`proxy_retries_total{reason="connect"}`, `proxy_client_gone_total{phase="streaming"}`, `proxy_errors_total{code="access_denied"}`,
		`proxy_header_rule_total{result="added"}`, `proxy_header_rule_total{result="present"}`, `proxy_header_rule_total{result="skipped"}`,
		`proxy_upstream_accounts{window="unified", state="allowed"}`, `proxy_upstream_accounts{window="unified", state="allowed_warning"}`,
		`proxy_upstream_accounts{window="unified", state="rejected"}`, `proxy_upstream_utilization_max_ratio{window="5h"} == 1`,
		`proxy_client_requests_total{client="claude-cli 2.1.300", class="2xx"}`, `proxy_recent_error_ratio{window="1m", class="529"}`,
		`proxy_recent_error_ratio{window="60m", class="proxy"}`, `proxy_recent_requests{window="60m"}`,
		`proxy_connections_open{admitted="true"}`, `proxy_connections_open_limit{admitted="false"}`,
		`tailnet_connected`, `tailnet_required`, `tailnet_key_expiry_timestamp_seconds`, `proxy_upstream_last_success_timestamp_seconds`,
	} {
		if s, err := p.query(series + " > 0"); err != nil || len(s) < 2 {
			t.Errorf("%s: %v %v, want it above 0 from both sources", series, s, err)
		}
	}
}

func (p *prometheus) evaluatesRules(t *testing.T) {
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := p.ask("/api/v1/rules", &data); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			n++
			if r.Health != "ok" {
				t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if n < len(alerts(t)) {
		t.Errorf("only %d rules", n)
	}
}

// raisesAlerts looks for the alerts of which the condition holds; that they wait for a while before
// they fire is promtool's to test.
func (p *prometheus) raisesAlerts(t *testing.T) {
	want := map[string]int{ // how many sources
		"OAuthProxydKeyExpiresSoon": 2, "OAuthProxydReloadRefused": 2, "OAuthProxydUpstreamUnreachable": 2,
		"OAuthProxydAccessDenied": 2, "OAuthProxydOverloaded": 2, "OAuthProxydRateLimitHigh": 2, "OAuthProxydRateLimitRejected": 2,
	}
	raised := func() map[string]int {
		var data struct {
			Alerts []struct{ Labels map[string]string }
		}
		if err := p.ask("/api/v1/alerts", &data); err != nil {
			t.Fatal(err)
		}
		n := make(map[string]int)
		for _, a := range data.Alerts {
			n[a.Labels["alertname"]]++
		}
		return n
	}
	for name, n := range want {
		daemontest.Eventually(t, name+" is raised", func() bool { return raised()[name] == n })
	}
	for name, n := range raised() {
		if want[name] == 0 {
			t.Errorf("%s is raised %d times", name, n)
		}
	}
}
