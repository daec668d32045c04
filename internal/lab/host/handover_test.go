package host_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

const override = "/etc/systemd/system/oauth-proxyd.service.d/override.conf"

// handOver is one upgrade to the installed program, which may be the running one.
func (l *lab) handOver() {
	l.t.Helper()
	before := l.mainPID()
	l.must("oauth-proxyd", "upgrade")
	if pid := l.mainPID(); pid == before || pid == 0 {
		l.t.Errorf("the main process was %d and is %d", before, pid)
	}
}

// wantNoComplaints looks for what systemd says where it supervises a process only by name.
func (l *lab) wantNoComplaints() {
	l.t.Helper()
	for _, complaint := range []string{"not our child", "Got notification message", "does not belong to"} {
		if out := l.run("journalctl", "--grep", complaint); out.Code == 0 {
			l.t.Errorf("the journal has %q:\n%s", complaint, out.Stdout)
		}
	}
}

// After any number of upgrades the process that serves is to systemd what the first was.
func TestSystemdSupervisesTheNewProcess(t *testing.T) {
	t.Parallel()
	for _, upgrades := range []int{1, 2, 10} {
		t.Run(fmt.Sprintf("%d upgrades", upgrades), func(t *testing.T) {
			t.Parallel()
			l := install(t)
			l.configure("\nproxy {\n  drain_timeout = \"2s\"\n}\n")
			l.write(override, "[Service]\nWatchdogSec=4s\n")
			l.must("systemctl", "daemon-reload")
			load := l.load()
			var kills []daemontest.Span
			for _, step := range []func(*lab) []daemontest.Span{stopped, restarted, crashed, frozen} {
				load.More(20)
				var streams []*stream // one of each process
				for range upgrades {
					streams = append(streams, l.openStream())
					l.handOver()
				}
				l.must("systemctl", "reload", service)
				kills = append(kills, step(l)...)
				for _, s := range streams {
					s.wantCut() // by the drain of its process, in every case
				}
				load.More(20)
				l.wantProperties(service, map[string]string{"ActiveState": "active"})
				l.wantProperties(socketUnit, map[string]string{"ActiveState": "active"})
			}
			load.WantNoneLost(kills...)
			l.wantProperties(service, map[string]string{"NRestarts": "2"})
			l.wantNoComplaints()
		})
	}
}

// stopped wants a stop to wait for the drains, and to leave no process: the load starts another at
// once.
func stopped(l *lab) []daemontest.Span {
	processes := strings.Fields(l.must("pgrep", "--exact", "oauth-proxyd"))
	begin := time.Now()
	l.must("systemctl", "stop", service)
	if d := time.Since(begin); d < time.Second {
		l.t.Errorf("the stop took %v, less than the drain", d)
	}
	for _, pid := range processes {
		if l.run("kill", "-0", pid).Code == 0 {
			l.t.Errorf("process %s is left", pid)
		}
	}
	return nil
}

func restarted(l *lab) []daemontest.Span {
	s, before := l.openStream(), l.mainPID()
	l.must("systemctl", "restart", service)
	s.wantCut()
	if pid := l.mainPID(); pid == before {
		l.t.Errorf("process %d was not restarted", pid)
	}
	return nil
}

// crashed wants systemd to see a crash at once. Clients wait in the socket until what is left of
// the service has drained, and it is started again.
func crashed(l *lab) []daemontest.Span {
	k, before := l.kill(), l.property(service, "NRestarts")
	daemontest.Eventually(l.t, "the service is started again", func() bool {
		return l.property(service, "NRestarts") != before || l.property(service, "ActiveState") == "active"
	})
	return []daemontest.Span{k}
}

func frozen(l *lab) []daemontest.Span {
	begin, pid := time.Now(), l.mainPID()
	l.must("kill", "-STOP", strconv.Itoa(pid))
	daemontest.Eventually(l.t, "systemd starts another", func() bool {
		now := l.mainPID()
		return now != pid && now != 0 && l.property(service, "ActiveState") == "active"
	})
	l.awaitLog("Watchdog timeout")
	return []daemontest.Span{{Begin: begin, End: time.Now()}}
}

// The old process is gone after handover_timeout. A crash of the new one is then like that of any
// main process.
func TestCrashLongAfterUpgrade(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.configure("\nproxy {\n  handover_timeout = \"1s\"\n}\n")
	load := l.load()
	s := l.openStream()
	l.handOver()
	s.wantCut() // by handover_timeout
	daemontest.Eventually(t, "the old process is gone", func() bool {
		return len(strings.Fields(l.must("pgrep", "--exact", "oauth-proxyd"))) == 1
	})
	load.More(20)
	kills := crashed(l)
	load.More(20)
	load.WantNoneLost(kills...)
	l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "1"})
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active"})
}

// A stop or restart at any moment of an upgrade signals both processes. No client notices.
func TestStopsDuringUpgrades(t *testing.T) {
	t.Parallel()
	const rounds, step = 24, 60 // responses: the last round is after the upgrade
	for _, command := range []string{"stop", "restart"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			l := install(t)
			l.configure("\nproxy {\n  drain_timeout = \"2s\"\n}\n")
			load := l.load()
			upgraded := 0
			for round := range rounds {
				load.More(20)
				outcome := make(chan int, 1)
				go func() { outcome <- l.run("oauth-proxyd", "upgrade").Code }()
				load.More(step * round)
				l.must("systemctl", command, service)
				if <-outcome == 0 {
					upgraded++
				}
				load.More(20)
			}
			load.WantNoneLost()
			t.Logf("%d of %d upgrades were over before the %s", upgraded, rounds, command)
			l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "0"})
			l.wantProperties(socketUnit, map[string]string{"ActiveState": "active", "Result": "success"})
			l.wantNoComplaints()
		})
	}
}

// What systemd would not follow is not begun, and what it does not follow is ended.
func TestUpgradeThatSystemdWouldNotFollow(t *testing.T) {
	t.Parallel()
	l := install(t)
	s := l.openStream()
	load := l.load()
	pid := l.mainPID()
	for _, c := range []struct{ dropIn, want string }{
		{"NotifyAccess=none\nWatchdogSec=0\nType=exec", "NotifyAccess=none"},
		{"Type=exec", "Type=exec"},
		{"ExecStart=\nExecStart=/usr/sbin/oauth-proxyd serve --log-level debug", `starts "/usr/sbin/oauth-proxyd serve --log-level debug" now`},
		{"ExecStart=\nExecStart=/usr/bin/env /usr/sbin/oauth-proxyd serve", `starts "/usr/bin/env /usr/sbin/oauth-proxyd serve" now`},
	} {
		l.write(override, "[Service]\n"+c.dropIn+"\n")
		l.must("systemctl", "daemon-reload")
		l.wantNoUpgrade(pid, c.want)
	}
	l.must("rm", "-r", strings.TrimSuffix(override, "/override.conf"))
	l.must("systemctl", "daemon-reload")
	l.must("systemctl", "mask", service)
	l.wantNoUpgrade(pid, "is masked")
	l.must("systemctl", "unmask", service)
	l.maskInTheMiddle(pid)
	load.More(50)
	load.WantNoneLost()

	l.must("systemctl", "unmask", service)
	l.handOver()
	l.must("systemctl", "stop", service)
	s.wantCut()
}

// systemd compares the names of drop-ins with those that it has read, in their order, and says
// after these commands that the unit must be read again.
func TestUpgradeAfterSetProperty(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.openStream().body.Close()
	l.must("systemctl", "set-property", service, "MemoryMax=900M")
	l.must("systemctl", "set-property", "--runtime", service, "CPUWeight=50")
	l.wantProperties(service, map[string]string{"NeedDaemonReload": "yes"})
	l.handOver()
	l.wantProperties(service, map[string]string{"MemoryMax": "943718400", "CPUWeight": "50"})
}

// wantNoUpgrade wants an upgrade to fail for that reason, and a process to stay what it is.
func (l *lab) wantNoUpgrade(pid int, why string) {
	l.t.Helper()
	out := l.run("oauth-proxyd", "upgrade")
	if out.Code != 1 || !strings.Contains(out.Stderr, "error: not upgraded: ") || !strings.Contains(out.Stderr, why) {
		l.t.Errorf("upgrade: exit %d, want 1 and %q in: %s%s", out.Code, why, out.Stdout, out.Stderr)
	}
	l.wantServing(pid)
}

func (l *lab) wantServing(pid int) {
	l.t.Helper()
	if now := l.mainPID(); now != pid {
		l.t.Errorf("the main process was %d and is %d", pid, now)
	}
	if others := l.must("pgrep", "--exact", "oauth-proxyd"); others != strconv.Itoa(pid)+"\n" {
		l.t.Errorf("want only process %d, there are:\n%s", pid, others)
	}
	if err := l.send(listModels()); err != nil {
		l.t.Error(err)
	}
}

// maskInTheMiddle masks the unit after the daemon has asked about it, and before the daemon tells
// of its successor.
func (l *lab) maskInTheMiddle(pid int) {
	l.t.Helper()
	processes := func() int { return len(strings.Fields(l.run("pgrep", "--exact", "oauth-proxyd").Stdout)) }
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.wantNoUpgrade(pid, fmt.Sprintf("systemd still reports process %d as the main process of %s", pid, service))
	}()
	daemontest.Eventually(l.t, "the new process is started", func() bool { return processes() == 3 }) // with the command
	l.must("systemctl", "mask", service)
	<-ended
}

// Both processes are in the control group of the unit, whose limits hold for them together.
func TestTheLimitsOfTheUnitHoldForBothProcesses(t *testing.T) {
	t.Parallel()
	l := install(t)
	s := l.openStream()
	before := l.mainPID()
	l.handOver()
	groups := map[string]bool{}
	for _, pid := range []int{before, l.mainPID()} {
		groups[l.read(fmt.Sprintf("/proc/%d/cgroup", pid))] = true
	}
	if len(groups) != 1 {
		t.Errorf("the control groups are %v", groups)
	}
	l.must("systemctl", "stop", service)
	s.wantCut()
	if l.run("pgrep", "oauth-proxyd").Code != 1 {
		t.Error("there is a process left")
	}
}
