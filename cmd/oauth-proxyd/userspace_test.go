package main_test

import (
	"os"
	"path/filepath"
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// userspaceStatus is of a tailscaled without a network device, which delivers its peers
// from loopback.
const userspaceStatus = `{"Version":"1.102.5","TUN":false,"BackendState":"Running","HaveNodeKey":true,
	"TailscaleIPs":["100.64.0.7"],"Self":{"DNSName":"box.tail.ts.net.","TailscaleIPs":["100.64.0.7"]},"Health":[]}`

// Such a tailscaled that is gone delivers nobody, so that who comes from loopback is on
// this host. One that only its command knows is somewhere, and cannot be asked.
func TestLoopbackIsLocalOnlyIfNoTailscaledDeliversPeers(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	t.Run("the socket is gone", func(t *testing.T) {
		t.Parallel()
		d := newTailscaled(t)
		d.Answer(userspaceStatus)
		d.run(t)
		s := start(t, unit{
			config: forwarding(u.URL, "", onTailnet(d, "wait")),
			env:    []string{"PATH=" + pathWithoutTailscale(t)},
		})
		get(t, s.url()+"/echo").Want(t, 200)
		d.Close()
		get(t, s.url()+"/echo").Want(t, 200)
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
}
