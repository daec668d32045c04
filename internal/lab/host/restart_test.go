package host_test

import (
	"strconv"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
)

func TestRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	l := install(t)
	load := l.load()
	for range 20 {
		load.More(300)
		l.must("systemctl", "restart", service)
	}
	load.More(300)
	load.WantNoneLost()
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active", "Result": "success"})
}

func TestKillsUnderLoad(t *testing.T) {
	t.Parallel()
	l := install(t)
	load := l.load()
	var kills []daemontest.Span
	for range 5 {
		load.More(100)
		kills = append(kills, l.kill())
		daemontest.Eventually(l.t, "started again", func() bool { return l.property(service, "ActiveState") == "active" })
	}
	load.More(100)
	load.WantNoneLost(kills...)
	if n := l.property(service, "NRestarts"); n != strconv.Itoa(len(kills)) {
		t.Errorf("systemd restarted it %s times", n)
	}
}

// kill takes the main process away, as the kernel does when memory runs out, and says how long that
// took: what was in flight then may have been read.
func (l *lab) kill() daemontest.Span {
	l.t.Helper()
	begin, pid := time.Now(), l.mainPID()
	l.must("kill", "-KILL", strconv.Itoa(pid))
	daemontest.Eventually(l.t, "systemd knows that the process is gone", func() bool { return l.mainPID() != pid })
	return daemontest.Span{Begin: begin, End: time.Now()}
}

func TestStopCutsALongStreamAndSaysSo(t *testing.T) {
	t.Parallel()
	l := install(t)
	streams := []*stream{l.openStream(), l.openStream()}
	l.must("systemctl", "stop", service)
	for _, s := range streams {
		s.wantCut()
	}
	if d := l.stopTime(); d > 5*time.Second {
		t.Errorf("from the signal to the exit it took %v", d)
	}
	l.wantProperties(service, map[string]string{"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "75"})
	l.awaitLog("cutting the remaining requests")
	l.wantProperties(socketUnit, map[string]string{"ActiveState": "active"})
	l.openStream() // the next request starts it again
}

// stopTime is the time from the signal to the exit, by one clock.
func (l *lab) stopTime() time.Duration {
	l.t.Helper()
	exit, err := strconv.ParseInt(l.property(service, "ExecMainExitTimestampMonotonic"), 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	signal, err := strconv.ParseInt(l.awaitLog("signal")["__MONOTONIC_TIMESTAMP"], 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	return time.Duration(exit-signal) * time.Microsecond
}

func TestWatchdogEndsAFrozenDaemon(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.openStream().body.Close()
	pid := l.mainPID()
	l.must("kill", "-STOP", strconv.Itoa(pid))
	waiting := make(chan error, 1)
	go func() { waiting <- l.send(listModels()) }()
	daemontest.Eventually(l.t, "systemd starts another", func() bool { return l.property(service, "NRestarts") == "1" })
	// The frozen process is woken to be ended, and may take a request in that moment.
	if err := <-waiting; err != nil {
		t.Logf("who came while it was frozen got %v", err)
	}
	if err := l.send(listModels()); err != nil {
		t.Error(err)
	}
	l.awaitLog("Watchdog timeout")
	if l.mainPID() == pid {
		t.Error("it is the same process")
	}
}
