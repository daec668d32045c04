package host_test

import (
	"fmt"
	"path"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/faketailscaled"
)

// tailscaledSocket is where Debian's tailscaled has it.
const tailscaledSocket = "/run/tailscale/tailscaled.sock"

// startTailscaled is a new process: a new socket file, and no watcher knows it. Its end takes the
// file with it, as a stop does.
func (l *lab) startTailscaled(state, version string) *faketailscaled.Server {
	l.t.Helper()
	l.must("sh", "-euc", `mkdir -p "$1"; rm -f "$2"`, "sh", path.Dir(tailscaledSocket), tailscaledSocket)
	socket, err := l.ListenUnix(tailscaledSocket)
	if err != nil {
		l.t.Fatal(err)
	}
	d := faketailscaled.New()
	d.SetStatus(faketailscaled.Status(state, version))
	d.Serve(socket)
	l.t.Cleanup(d.Close)
	return d
}

func TestTailscaledComesLaterIsUpgradedAndRestarts(t *testing.T) {
	t.Parallel()
	l := install(t)
	load := l.load()
	load.More(20)
	pid := l.mainPID()
	l.awaitStatus("tailnet not connected")

	d := l.startTailscaled("Running", "1.98.1")
	l.awaitStatus("tailnet connected as box.tail.ts.net")
	for range 2 {
		d.Close()
		l.awaitStatus("tailnet not connected")
		l.startTailscaled("NoState", "1.102.5").Close() // every boot passes it
		d = l.startTailscaled("Running", "1.102.5")
		l.awaitStatus("tailnet connected as box.tail.ts.net")
		load.More(50)
	}
	load.WantNoneLost()
	if status, body := l.get("http://" + proxyAddr + "/health"); status != 200 {
		t.Errorf("/health is %d %s", status, body)
	}
	if l.mainPID() != pid {
		t.Error("it was started again")
	}
	l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "0"})
}

func TestTailscaleCommandWithoutSocket(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.write("/usr/bin/tailscale", `#!/bin/sh
test "$1" != whois || { echo '{"Node":{"Name":"lab.tail.ts.net.","StableID":"nLab"},"UserProfile":{"LoginName":"a@example.com"}}'; exit; }
test "$1" != serve || { echo null; exit; }
test "$1" = status || exit 1
echo '{"Version":"1.98.1","TUN":true,"BackendState":"Running","HaveNodeKey":true,"Self":{"HostName":"lab",
"DNSName":"lab.tail.ts.net.","TailscaleIPs":["100.64.0.7"]},"TailscaleIPs":["100.64.0.7"],"Health":[]}'
`)
	l.must("chmod", "755", "/usr/bin/tailscale")
	l.openStream().body.Close()
	l.awaitStatus("tailnet connected as lab.tail.ts.net")
}

func (l *lab) awaitStatus(words ...string) {
	l.t.Helper()
	daemontest.Eventually(l.t, fmt.Sprintf("the status says %q", words), func() bool {
		return daemontest.ContainsAll(l.property(service, "StatusText"), words)
	})
}
