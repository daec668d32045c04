// Package monitoring proves packaging/monitoring: the alert and recording rules, the Grafana
// dashboard and the examples for Prometheus.
//
// The unit tests of the rules are beside the rules; promtool runs them. The tests here check the
// rest: each alert is tested both ways and has its section in the runbook; the dashboard has the
// form that Grafana documents; and all queries work in a real Prometheus, which has scraped the
// real binary, and node_exporter with its textfile, during a run with traffic of all kinds. The
// parsers of promtool and of Prometheus's client library for Python read /metrics and the textfile.
//
//	main_test.go      builds the binary
//	daemon_test.go    the binary between an API and a tailscaled, both fakes
//	traffic_test.go   what clients do to it
//	prometheus_test.go  Prometheus and node_exporter, and questions to them
//
// Each other file tests one promise. It is a module of its own, because it needs Debian's packages
// prometheus, prometheus-node-exporter and python3-prometheus-client. Run it with "make
// test-monitoring".
package monitoring
