package host_test

import (
	"strings"
	"testing"

	"oauth-proxyd/internal/lab/labapi"
)

// labHeader is a rule whose effect the API shows.
func labHeader(value string) string {
	return "\nheader \"x-lab\" {\n  value = \"" + value + "\"\n}\n"
}

func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	l := install(t)
	shipped := l.read(configFile)
	load := l.load()
	load.More(50)
	pid := l.mainPID()

	l.write(configFile, shipped+labHeader("one"))
	l.must("systemctl", "reload", service)
	l.wantSent("one")

	l.write(configFile, shipped+"\nheader \"x-lab\" {\n  vlaue = \"two\"\n}\n")
	if out := l.run("systemctl", "reload", service); out.Code == 0 {
		t.Error("systemctl reload did not fail with a bad file")
	}
	l.wantSent("one")
	l.awaitLog("reload refused; the current configuration is unchanged")
	refused := l.awaitLog("configuration refused: "+configFile+":", "vlaue")
	if refused.Priority() != 3 {
		t.Errorf("the diagnostics have priority %d", refused.Priority())
	}
	l.wantAll(l.property(service, "StatusText"), "the last reload was refused")
	l.wantProperties(service, map[string]string{"ActiveState": "active", "Result": "success"})

	for value := range strings.FieldsSeq("three four five six seven") {
		l.write(configFile, shipped+labHeader(value))
		l.must("systemctl", "reload", service)
		l.wantSent(value)
		load.More(100)
	}
	load.WantNoneLost()
	if l.mainPID() != pid {
		t.Error("a reload started another process")
	}
}

// wantSent sends a request and looks at what arrives.
func (l *lab) wantSent(value string) {
	l.t.Helper()
	if err := l.send(countTokens()); err != nil {
		l.t.Error(err)
	}
	if got := l.received("/v1/messages/count_tokens", "X-Lab"); got != value {
		l.t.Errorf("the API received x-lab %q, want %q", got, value)
	}
}

func TestReloadLeavesStreamsAlone(t *testing.T) {
	t.Parallel()
	l := install(t)
	s := l.openStream()
	l.configure(labHeader("new"))
	l.must("systemctl", "reload", service)
	l.wantSent("new")
	if n := s.lines.Buffered(); n != 0 {
		t.Errorf("the stream got %d bytes", n)
	}
	l.must("systemctl", "stop", service) // it was still open: now it is cut
	s.wantCut()
}

// check judges as the service's user in the service's sandbox: a file that only root can read is
// refused before a reload is.
func TestCheckJudgesAsTheService(t *testing.T) {
	t.Parallel()
	l := install(t)
	_, pem, err := labapi.NewCertificate("upstream.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/etc/oauth-proxyd/ca.pem", "/tmp/ca.pem"} {
		l.write(name, string(pem))
	}
	l.must("chmod", "600", "/etc/oauth-proxyd/ca.pem")
	shipped := l.read(configFile)
	for _, row := range []struct{ name, file, says string }{
		{"for root only", "/etc/oauth-proxyd/ca.pem", "permission denied"},
		{"in another /tmp", "/tmp/ca.pem", "no such file or directory"},
	} {
		l.write(configFile, shipped+"\nproxy {\n  upstream_ca_file = \""+row.file+"\"\n}\n")
		out := l.run("oauth-proxyd", "check")
		if out.Code != 78 {
			t.Errorf("%s: exit %d\n%s", row.name, out.Code, out.Stdout)
		}
		l.wantAll(out.Stderr, configFile+":", row.file, row.says, "only the service refuses it")
		l.wantAll(l.run("oauth-proxyd", "doctor").Stdout, "FAIL     config             only the service refuses the file")
	}
	l.write(configFile, shipped)
	l.must("oauth-proxyd", "check")
}
