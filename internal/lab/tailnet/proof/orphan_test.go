package proof_test

import (
	"fmt"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

// TestAPeerWhoseTailscaledEndedIsNotLocal has requests wait in the socket, as they do while the
// daemon starts, until the tailscaled that delivered them has ended. The next one does not know
// their connections, and the kernel no longer knows whose they were.
func TestAPeerWhoseTailscaledEndedIsNotLocal(t *testing.T) {
	t.Parallel()
	if !canTUN(t) { // on this host, other tailscaleds run
		return
	}
	for name, end := range map[string]func(*tailnet.Node){
		"stopped": (*tailnet.Node).Stop, "killed": (*tailnet.Node).Kill, "restarted": (*tailnet.Node).Restart,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := tailnet.Start(t)
			host := lab.Node(tailnet.Spec{Name: "proxy", OwnHost: true})
			peer := lab.Node(tailnet.Spec{Name: "peer"})
			w := newRecorder(t, host)
			d := start(t, setting{node: host, upstream: w.url, blocks: []string{list("local")}})
			w.wantOutside(t, "/first", get(t, peer, d.url()+"/first"), "access_denied")
			d.stop()
			for i := range 20 {
				conn, err := peer.Dial(t.Context(), "tcp", strings.TrimPrefix(d.url(), "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				fmt.Fprintf(conn, "GET /orphan-%d HTTP/1.1\r\nHost: h\r\n\r\n", i)
			}
			daemontest.Eventually(t, "all requests wait in the socket", func() bool { return unread(t, host, d.port()) == 20 })
			end(host)
			d.run()
			d.wantLocal("/own")
			daemontest.Eventually(t, "all connections are closed", func() bool { return len(connections(t, host, d.port())) == 0 })
			for _, line := range d.log.All() {
				if strings.Contains(line, `"path":"/orphan`) && strings.Contains(line, `"source":"local"`) {
					t.Fatalf("taken for a local program: %s", line)
				}
			}
			for i := range 20 {
				if path := fmt.Sprintf("/orphan-%d", i); w.saw(path) {
					t.Errorf("%s: it reached the upstream", path)
				}
			}
		})
	}
}

// connections lists the connections to a port of a node's host that its process has not closed, as
// ss(8) shows them: the second column is the number of bytes that wait to be read.
func connections(t *testing.T, n *tailnet.Node, port string) []string {
	t.Helper()
	lines := on(t, n, "ss", "--no-header", "--tcp", "--numeric", "state", "established", "state", "close-wait", "sport = :"+port)
	return strings.FieldsFunc(lines, func(r rune) bool { return r == '\n' })
}

// unread counts the connections with a request that waits to be read.
func unread(t *testing.T, n *tailnet.Node, port string) (count int) {
	t.Helper()
	for _, line := range connections(t, n, port) {
		if waits := strings.Fields(line)[1]; waits != "0" {
			count++
		}
	}
	return count
}
