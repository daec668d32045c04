package host_test

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"sync"
	"testing"
)

// tailscaledSocket is where Debian's tailscaled has it.
const tailscaledSocket = "/run/tailscale/tailscaled.sock"

// tailscaled is a stand-in on the host: the calls of the local API that the program
// makes.
type tailscaled struct {
	lab     *lab
	state   string
	version string
	server  *http.Server
	serving sync.WaitGroup
}

func (l *lab) runTailscaled(state string) *tailscaled {
	l.t.Helper()
	d := &tailscaled{lab: l}
	d.start(state, "1.98.1")
	l.t.Cleanup(d.kill)
	return d
}

// start is a new process: a new socket file, and no watcher knows it.
func (d *tailscaled) start(state, version string) {
	l := d.lab
	l.t.Helper()
	d.state, d.version = state, version
	l.must("sh", "-euc", `mkdir -p "$1"; rm -f "$2"`, "sh", path.Dir(tailscaledSocket), tailscaledSocket)
	socket, err := l.ListenUnix(tailscaledSocket)
	if err != nil {
		l.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /localapi/v0/status", d.serveStatus)
	mux.HandleFunc("GET /localapi/v0/watch-ipn-bus", d.serveBus)
	mux.HandleFunc("GET /localapi/v0/whois", http.NotFound)
	d.server = &http.Server{Handler: mux}
	d.serving.Go(func() { _ = d.server.Serve(socket) })
}

// kill ends it; the socket file is gone with the listener, as after a stop.
func (d *tailscaled) kill() {
	d.server.Close()
	d.serving.Wait()
}

func (d *tailscaled) serveStatus(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, `{"Version":%q,"TUN":true,"BackendState":%q,"HaveNodeKey":true,
		"TailscaleIPs":["100.64.0.7"],"Self":{"HostName":"lab","DNSName":"lab.tail.ts.net.",
		"TailscaleIPs":["100.64.0.7"]},"Health":[]}`, d.version, d.state)
}

func (d *tailscaled) serveBus(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, `{"Version":"1.98.1","State":6}`+"\n")
	if http.NewResponseController(w).Flush() == nil {
		<-r.Context().Done()
	}
}

func TestTailscaledComesLaterIsUpgradedAndRestarts(t *testing.T) {
	t.Parallel()
	l := install(t)
	load := l.load()
	load.more(20)
	pid := l.mainPID()
	l.awaitStatus("tailnet not connected")

	d := l.runTailscaled("Running")
	l.awaitStatus("tailnet connected as lab.tail.ts.net")
	for range 2 {
		d.kill()
		l.awaitStatus("tailnet not connected")
		d.start("NoState", "1.102.5") // every boot passes it
		d.kill()
		d.start("Running", "1.102.5")
		l.awaitStatus("tailnet connected as lab.tail.ts.net")
		load.more(50)
	}
	load.wantNoneLost()
	if status, body := l.get("http://" + proxyAddr + "/health"); status != 200 {
		t.Errorf("/health is %d %s", status, body)
	}
	if l.mainPID() != pid {
		t.Error("it was started anew")
	}
	l.wantProperties(service, map[string]string{"ActiveState": "active", "NRestarts": "0"})
}

func TestTheCommandOfTailscaleIsAskedWhereItsSocketIsNotFound(t *testing.T) {
	t.Parallel()
	l := install(t)
	l.write("/usr/bin/tailscale", `#!/bin/sh
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
	l.eventually(fmt.Sprintf("the status says %q", words), func() bool {
		return hasAll(l.property(service, "StatusText"), words)
	})
}
