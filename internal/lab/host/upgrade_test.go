package host_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

func TestUpgradeUnderLoadLosesAndCutsNothing(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.configure("# an edit\n" + labHeader("edited"))
	edited := l.read(configFile)
	stalled := l.openStream()
	load := l.load()
	load.More(100)
	// 27 events, 0.2 s apart: with a restart the drain would cut it.
	slow := make(chan error, 1)
	go func() { slow <- l.send(message("slow", true)) }()
	socket, pid := l.property(socketUnit, "ActiveEnterTimestampMonotonic"), l.mainPID()

	said := l.installDeb(deb(t, newVersion))
	load.More(100)
	load.WantNoneLost()
	if err := <-slow; err != nil {
		t.Errorf("a stream under way: %v", err)
	}
	l.wantAll(l.must("oauth-proxyd", "version"), newVersion)
	if got := l.read(configFile); got != edited {
		t.Errorf("the edited file is now\n%s", got)
	}
	if files := l.must("ls", "/etc/oauth-proxyd"); files != "oauth-proxyd.hcl\n" {
		t.Errorf("in /etc/oauth-proxyd: %s; dpkg said:\n%s", files, said)
	}
	if again := l.property(socketUnit, "ActiveEnterTimestampMonotonic"); again != socket {
		t.Error("the socket was closed and opened again")
	}
	l.wantTakenOver(pid)

	// The old process lives for its stream, and ends with the service.
	l.must("kill", "-0", strconv.Itoa(pid))
	l.must("systemctl", "stop", service)
	stalled.wantCut()
	if out := l.run("pgrep", "--list-full", "oauth-proxyd"); out.Code != 1 {
		t.Errorf("processes are left: %s", out.Stdout)
	}
	l.openStream()
}

// wantTakenOver wants the new version to serve in the place of a process.
func (l *lab) wantTakenOver(pid int) {
	l.t.Helper()
	if l.mainPID() == pid {
		l.t.Error("the old process is still the main one")
	}
	l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "0"})
	l.awaitLog("upgraded: 1.2.0 → 1.3.0")
	l.wantSent("edited")
	l.wantAll(l.health(), `"version": "1.3.0"`)
	l.must("systemctl", "reload", service) // commands reach the new one
}

func (l *lab) health() string {
	l.t.Helper()
	_, body := l.get("http://" + proxyAddr + "/health")
	return body
}

func TestUpgradeWithoutHandoverTellsWhatItCut(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.configure(labHeader("edited"))
	streams := []*stream{l.openStream(), l.openStream(), l.openStream()}
	load := l.load()
	load.More(100)
	l.must("rm", "/run/oauth-proxyd/admin.sock") // as far as a command can see, nobody is there

	said := l.installDeb(deb(t, newVersion))
	load.More(100)
	load.WantNoneLost()
	l.wantAll(said, "restarting instead")
	for _, s := range streams {
		s.wantCut()
	}
	if r := l.awaitLog("requests in flight were cut"); r.Priority() != 4 || r["STREAMS_CUT"] != "3" {
		t.Errorf("the cut is reported as %v", r)
	}
	l.wantSent("edited")
	l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "0"})
}

func TestUpgradeWithRefusedConfiguration(t *testing.T) {
	t.Parallel()
	l := install(t)
	shipped := l.read(configFile)
	l.openStream().body.Close()
	pid := l.mainPID()
	l.write(configFile, shipped+"nonsense\n")
	said := l.installDeb(deb(t, newVersion))
	l.wantAll(said, "the old version keeps running", "oauth-proxyd upgrade", configFile+":")
	if l.mainPID() != pid {
		t.Error("the process that served is gone")
	}
	l.openStream().body.Close()

	l.write(configFile, shipped+labHeader("edited"))
	l.must("oauth-proxyd", "upgrade")
	l.wantTakenOver(pid)
}

// A restart would start what has just shown that it does not serve.
func TestUpgradeToProcessThatDoesNotServe(t *testing.T) {
	t.Parallel()
	l := install(t)
	const file = "/etc/oauth-proxyd/other.hcl"
	shipped := l.read(configFile)
	l.write(file, shipped)
	l.must("chmod", "0644", file)
	l.write("/etc/systemd/system/"+service+".d/other.conf", "[Service]\nEnvironment=OAUTH_PROXYD_CONFIG="+file+"\n")
	l.must("systemctl", "daemon-reload")
	l.must("systemctl", "restart", service)
	l.openStream().body.Close()
	pid := l.mainPID()
	l.write(file, shipped+"nonsense\n")
	l.wantAll(l.installDeb(deb(t, newVersion)), "The configuration is refused", "only the service refuses it", file+":", "the old version keeps running")
	if l.mainPID() != pid {
		t.Error("the process that served is gone")
	}
	l.openStream().body.Close()
}

// A turn of an agent lasts longer than a night's upgrades.
func TestTwoHundredStreamsOutliveTenUpgrades(t *testing.T) {
	t.Parallel()
	const streams, upgrades, deltas = 200, 10, 300 // of 200 ms each: a minute
	l := install(t)
	load := l.load()
	load.More(50)
	ended := make(chan error, streams)
	for range streams {
		go func() { ended <- l.readWhole(message(fmt.Sprintf("slow-%d", deltas), true), deltas) }()
	}
	daemontest.Eventually(l.t, "all streams are open", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("a stream ended before all were open: %v", err)
		default:
		}
		return l.inFlight() >= streams
	})
	l.installDeb(deb(t, newVersion))
	for range upgrades - 1 {
		load.More(50)
		l.handOver()
	}
	if n := len(ended); n > 0 {
		t.Fatalf("%d streams ended before the last upgrade", n)
	}
	load.More(50)
	load.WantNoneLost()
	for range streams {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "0"})
	daemontest.Eventually(l.t, "the processes before have gone", func() bool {
		return strings.TrimSpace(l.run("pgrep", "--count", "--exact", "oauth-proxyd").Stdout) == "1"
	})
	if left := l.must("ls", "/run/oauth-proxyd"); left != "admin.sock\n" {
		t.Errorf("left in the runtime directory:\n%s", left)
	}
}

// readWhole reads a stream that lasts, with all its deltas, to its clean end.
func (l *lab) readWhole(r daemontest.Request, deltas int) error {
	q, err := http.NewRequestWithContext(l.t.Context(), r.Method, "http://"+proxyAddr+r.Path, strings.NewReader(r.Body))
	if err != nil {
		return err
	}
	q.Header.Set("Authorization", "Bearer "+daemontest.OAuthToken)
	client := l.client()
	client.Timeout = 0
	response, err := client.Do(q)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("a stream was cut after %d bytes: %w", len(text), err)
	}
	if n := strings.Count(string(text), "event: content_block_delta\n"); n != deltas || !strings.HasSuffix(string(text), r.Ends) {
		return fmt.Errorf("a stream of %d deltas has %d and ends %q", deltas, n, text[max(0, len(text)-200):])
	}
	return nil
}

// inFlight is how many requests the one that serves has.
func (l *lab) inFlight() int {
	l.t.Helper()
	var health struct {
		InFlight int `json:"in_flight"`
	}
	if err := json.Unmarshal([]byte(l.health()), &health); err != nil {
		l.t.Fatal(err)
	}
	return health.InFlight
}

// upgraded is a host after an upgrade, whose first process has ended.
func upgraded(t *testing.T) *lab {
	t.Helper()
	l := install(t)
	l.openStream().body.Close()
	before := l.mainPID()
	l.installDeb(deb(t, newVersion))
	daemontest.Eventually(l.t, "the process before is gone", func() bool { return l.run("kill", "-0", strconv.Itoa(before)).Code != 0 })
	return l
}

// The drain is longer than TimeoutStopSec=.
func TestAStopAfterAnUpgradeDrains(t *testing.T) {
	t.Parallel()
	l := upgraded(t)
	l.configure("\nproxy {\n  drain_timeout = \"17s\"\n}\n")
	l.must("systemctl", "reload", service)
	s := l.openStream()
	l.must("systemctl", "stop", service)
	s.wantCut()
	l.awaitLog("cutting the remaining requests")
	if found := l.run("journalctl", "--unit", service, "--grep", "timed out"); found.Code == 0 {
		t.Errorf("it was not given the time: %s", found.Stdout)
	}
	l.wantProperties(service, map[string]string{"ActiveState": "inactive", "Result": "success"})
	if l.run("pgrep", "oauth-proxyd").Code != 1 {
		t.Error("there is a process left")
	}
	l.openStream() // the next request starts it again
}

func TestUpgradeOfIdleHostStartsNothing(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.installDeb(deb(t, newVersion))
	l.wantProperties(service, map[string]string{"ActiveState": "inactive"})
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active", "UnitFileState": "enabled"})
	l.openStream()
	l.wantAll(l.awaitLog("serving")["VERSION"], newVersion)
}

func TestDowngrade(t *testing.T) {
	t.Parallel()
	l := boot(t)
	l.installDeb(deb(t, newVersion))
	t.Cleanup(l.showJournal)
	l.openStream()
	l.installDeb(deb(t, oldVersion))
	l.awaitLog("upgraded: 1.3.0 → 1.2.0")
	l.openStream()
}
