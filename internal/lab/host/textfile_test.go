package host_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

const (
	collected   = "/var/lib/oauth-proxyd-prometheus/node-exporter"
	textfile    = collected + "/oauth-proxyd.prom"
	rootsFolder = "/var/lib/prometheus/node-exporter" // Debian's, where collectors of root write
	useTextfile = "\nmetrics {\n  textfile          = %q\n  textfile_interval = \"1s\"\n}\n"
)

// The instructions of README.Debian, with Debian's own node_exporter and what its collectors write.
func TestNodeExporterServesTheTextfileBesideItsOwn(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.write(rootsFolder+"/apt.prom", "apt_upgrades_pending 7\n")
	arguments := regexp.MustCompile(`(?m)^ *(ARGS=".*")$`).FindStringSubmatch(l.read("/usr/share/doc/oauth-proxyd/README.Debian"))
	if arguments == nil {
		t.Fatal("README.Debian has no options for node_exporter")
	}
	l.write("/etc/default/prometheus-node-exporter", arguments[1]+"\n")
	l.must("systemctl", "restart", "prometheus-node-exporter")
	l.configure(fmt.Sprintf(useTextfile, textfile))
	if err := l.send(message("claude", true)); err != nil {
		t.Fatal(err)
	}
	l.awaitExported("\nproxy_requests_total{method=\"POST\",status=\"200\"} 1\n")
	exported := l.exported()
	l.wantAll(exported, "\ntailnet_connected 0\n", `proxy_build_info{`, "\nnode_textfile_scrape_error 0\n", "\napt_upgrades_pending 7\n")
	l.wantAll(exported, "\nprocess_start_time_seconds ") // node_exporter's own
	l.wantAll(l.must("stat", "--format=%a %U", textfile, rootsFolder), "644 oauth-proxyd\n755 root\n")

	// What is counted last is there after the end.
	s := l.openStream()
	l.must("systemctl", "stop", service)
	s.wantCut()
	l.awaitExported("\nproxy_responses_cut_total{by=\"drain\"} 1\n")
	if left := l.must("find", collected, "-name", ".*"); left != "" {
		t.Errorf("left beside it: %s", left)
	}
	// At boot the numbers of the boot before are removed.
	l.must("systemd-tmpfiles", "--create", "--remove", "--boot", "oauth-proxyd.conf")
	l.wantAbsent(textfile)
	l.must("systemctl", "start", service)
	l.awaitExported("\ntailnet_connected 0\n")
	l.must("dpkg", "--remove", "oauth-proxyd")
	l.wantAbsent(collected)
	if exported := l.exported(); strings.Contains(exported, "tailnet_connected") || !strings.Contains(exported, "\nnode_textfile_scrape_error 0\n") {
		t.Error("node_exporter goes on to report a program that is removed, or misses its folder")
	}
}

func (l *lab) wantAbsent(file string) {
	l.t.Helper()
	if l.run("test", "-e", file).Code == 0 {
		l.t.Errorf("%s is left", file)
	}
}

// A folder of the administrator's is added to the sandbox, and a reload leaves no file behind.
func TestTextfileInAnotherFolder(t *testing.T) {
	t.Parallel()
	l := install(t)
	const folder = "/srv/metrics"
	l.must("install", "--directory", "--owner=oauth-proxyd", folder)
	l.write("/etc/systemd/system/oauth-proxyd.service.d/textfile.conf", "[Service]\nReadWritePaths="+folder+"\n")
	l.must("systemctl", "daemon-reload")
	shipped := l.read(configFile)
	l.configure(fmt.Sprintf(useTextfile, folder+"/oauth-proxyd.prom"))
	l.must("systemctl", "restart", service)
	daemontest.Eventually(l.t, "the file is written", func() bool {
		return strings.Contains(l.run("cat", folder+"/oauth-proxyd.prom").Stdout, "\ntailnet_connected 0\n")
	})
	l.write(configFile, shipped+fmt.Sprintf(useTextfile, textfile))
	l.must("systemctl", "reload", service)
	l.wantAbsent(folder + "/oauth-proxyd.prom")
	daemontest.Eventually(l.t, "the other file is written", func() bool { return l.run("test", "-e", textfile).Code == 0 })
	l.write(configFile, shipped)
	l.must("systemctl", "reload", service)
	l.wantAbsent(textfile)
}

func (l *lab) awaitExported(line string) {
	l.t.Helper()
	daemontest.Eventually(l.t, "node_exporter serves "+line, func() bool { return strings.Contains(l.exported(), line) })
}

// exported is what Prometheus would scrape.
func (l *lab) exported() string {
	l.t.Helper()
	_, body := l.get("http://127.0.0.1:9100/metrics")
	return body
}
