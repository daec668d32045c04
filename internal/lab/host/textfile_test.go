package host_test

import (
	"fmt"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

const (
	collected   = "/var/lib/prometheus/node-exporter"
	textfile    = collected + "/oauth-proxyd.prom"
	tmpfilesd   = "/usr/lib/tmpfiles.d/oauth-proxyd.conf"
	useTextfile = "\nmetrics {\n  textfile          = %q\n  textfile_interval = \"1s\"\n}\n"
)

// shown is a line that the shipped file has in a comment for the administrator.
func (l *lab) shown(begin string) string {
	l.t.Helper()
	for line := range strings.Lines(l.read(tmpfilesd)) {
		if line = strings.TrimLeft(strings.TrimSpace(line), "# "); strings.HasPrefix(line, begin) {
			return line
		}
	}
	l.t.Fatalf("%s shows no line %q", tmpfilesd, begin)
	return ""
}

func TestNodeExporterServesTheTextfile(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.must("sh", "-euc", l.shown("dpkg-statoverride"))
	l.configure(fmt.Sprintf(useTextfile, textfile))
	l.must("systemctl", "restart", service)

	if err := l.send(message("claude", true)); err != nil {
		t.Fatal(err)
	}
	const counted = "\nproxy_requests_total{method=\"POST\",status=\"200\"} 1\n"
	l.awaitExported(counted)
	exported := l.exported()
	l.wantAll(exported, "\ntailnet_connected 0\n", `oauth_proxyd_build_info{`, "\nnode_textfile_scrape_error 0\n")
	l.wantAll(exported, "\nprocess_start_time_seconds ") // node_exporter's own
	l.wantAll(l.must("stat", "--format=%a %U", textfile), "644 oauth-proxyd")

	// What is counted last is there after the end.
	s := l.openStream()
	l.must("systemctl", "stop", service)
	s.wantCut()
	l.awaitExported("\nproxy_responses_cut_total{by=\"drain\"} 1\n")
	if left := l.must("find", collected, "-name", ".*"); left != "" {
		t.Errorf("left beside it: %s", left)
	}
	l.must("dpkg", "--remove", "oauth-proxyd")
	if l.run("test", "-e", textfile).Code == 0 {
		t.Error("node_exporter goes on to report a program that is removed")
	}
}

// Where the collector's folder is another, the administrator takes the line for
// tmpfiles.d.
func TestTextfileInAnotherFolder(t *testing.T) {
	t.Parallel()
	l := install(t)
	line := l.shown("a+ ")
	folder := strings.Fields(line)[1]
	l.must("mkdir", "-p", folder)
	l.write("/etc/tmpfiles.d/oauth-proxyd.conf", line+"\n")
	l.must("systemd-tmpfiles", "--create", "oauth-proxyd.conf")
	l.write("/etc/systemd/system/oauth-proxyd.service.d/textfile.conf", "[Service]\n"+l.shown("ReadWritePaths=")+"\n")
	l.must("systemctl", "daemon-reload")
	l.configure(fmt.Sprintf(useTextfile, folder+"/oauth-proxyd.prom"))
	l.must("systemctl", "restart", service)
	daemontest.Eventually(l.t, "the file is written", func() bool {
		out := l.run("cat", folder+"/oauth-proxyd.prom")
		return strings.Contains(out.Stdout, "\ntailnet_connected 0\n")
	})
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
