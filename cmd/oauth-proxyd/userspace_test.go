package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/faketailscaled"
)

// userspaceStatus is the status of a tailscaled without a network device: peers arrive from
// loopback.
const userspaceStatus = `{"Version":"1.102.5","TUN":false,"BackendState":"Running","HaveNodeKey":true,
	"TailscaleIPs":["100.64.0.7"],"Self":{"DNSName":"box.tail.ts.net.","TailscaleIPs":["100.64.0.7"]},"Health":[]}`

// If such a tailscaled is gone, clients from loopback are on this host. If it responds only to its
// command, or on another socket than the configured one, clients from loopback may be peers, except
// programs of other users than tailscaled's.
func TestLoopbackUnderUserspaceTailscaled(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	t.Run("the socket is gone", func(t *testing.T) {
		t.Parallel()
		d := newTailscaled(t)
		d.SetStatus(userspaceStatus)
		d.run(t)
		s := start(t, unit{
			config: forwarding(u.URL, "", onTailnet(d, "wait")),
			env:    []string{"PATH=" + pathWithoutTailscale(t)},
		})
		get(t, s.url()+"/echo").Want(t, 200)
		d.Close()
		getAs(t, anotherUser, s.url()+"/echo").Want(t, 200)
	})
	t.Run("only its command knows it", func(t *testing.T) {
		t.Parallel()
		dir := daemontest.TempDir(t)
		script := "#!/bin/sh\necho '" + userspaceStatus + "'\n"
		if err := os.WriteFile(filepath.Join(dir, "tailscale"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		s := start(t, unit{
			config: forwarding(u.URL, "", onTailnet(newTailscaled(t), "wait")),
			env:    []string{"PATH=" + dir + ":" + pathWithoutTailscale(t)},
		})
		get(t, s.url()+"/echo").Want(t, 503, `"error_code":"tailnet_unavailable"`)
	})
	t.Run("the path of its socket is wrong", func(t *testing.T) {
		t.Parallel()
		elsewhere := &tailscaled{faketailscaled.New(), filepath.Join(daemontest.TempDir(t), "tailscaled.sock")}
		elsewhere.SetStatus(userspaceStatus)
		elsewhere.run(t)
		t.Cleanup(elsewhere.Close)
		s := start(t, unit{
			config: forwarding(u.URL, "", onTailnet(newTailscaled(t), "wait")),
			env:    []string{"PATH=" + pathWithoutTailscale(t)},
		})
		get(t, s.url()+"/echo").Want(t, 503, `"error_code":"tailnet_unavailable"`)
		getAs(t, anotherUser, s.url()+"/echo").Want(t, 200)
	})
}

// Clients of "tailscale serve --tcp" look like tailscaled itself.
func TestTailscaleServeIsNotLocal(t *testing.T) {
	t.Parallel()
	d := runTailscaled(t, "Running")
	s := start(t, unit{config: forwarding(newUpstream(t).URL, "", onTailnet(d, "wait"))})
	get(t, s.url()+"/echo").Want(t, 200)
	d.Forward(fmt.Sprintf(`{"TCP":{"80":{"TCPForward":%q}}}`, strings.TrimPrefix(s.url(), "http://")))
	get(t, s.url()+"/echo").Want(t, 403, `"error_code":"access_denied"`)
	getAs(t, anotherUser, s.url()+"/echo").Want(t, 200)
}
