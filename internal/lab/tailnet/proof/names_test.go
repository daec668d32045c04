package proof_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/lab/tailnet"
)

// TestAnEntryMatchesWhatPeopleWrite has two peers with the same short name, one of them shared from
// another tailnet, and entries as people copy them from "tailscale status".
func TestAnEntryMatchesWhatPeopleWrite(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab := tailnet.Start(t)
		host := lab.Node(tailnet.Spec{Name: "proxy", TUN: tun})
		peers := map[string]*tailnet.Node{}
		for _, spec := range []tailnet.Spec{
			{Name: "laptop", User: "alice@example.com"},
			{Name: "builder", Tags: []string{"tag:ci"}},
			{Name: "stranger", User: "alice@example.net", SharedAs: "laptop.tail-other.ts.net"},
		} {
			peers[spec.Name] = lab.Node(spec)
		}
		laptop := peers["laptop"]
		v4, v6 := laptop.Addr().String(), laptop.Addr6().String()
		w := newRecorder(t, host)
		for _, row := range []struct {
			allow   string
			allowed []string
		}{
			{"node:laptop", []string{"laptop"}},
			{"node:LapTop", []string{"laptop"}},
			{"node:laptop." + tailnet.Domain, []string{"laptop"}},
			{"node:LapTop.Tail-Lab.TS.Net.", []string{"laptop"}},
			{"node:laptop.tail-other.ts.net", []string{"stranger"}},
			{"node:" + string(peers["builder"].Status().Self.ID), []string{"builder"}},
			{"node:lap", nil},
			{"Alice@Example.com", []string{"laptop"}},
			{"tag:ci", []string{"builder"}},
			{v4, []string{"laptop"}},
			{v4 + "/32", []string{"laptop"}},
			{"::ffff:" + v4, []string{"laptop"}},
			{v6 + "/128", []string{"laptop"}},
			{"100.64.0.0/10", []string{"laptop", "builder", "stranger"}},
			{"fd7a:115c:a1e0::/48", []string{"laptop", "builder", "stranger"}},
			{"127.0.0.0/8", nil}, // where peers come from in userspace mode
		} {
			t.Run(row.allow, func(t *testing.T) {
				t.Parallel()
				d := start(t, setting{node: host, upstream: w.url, blocks: []string{list(row.allow)}})
				url := d.at(host.Addr().String())
				if strings.Contains(row.allow, "fd7a:") {
					url = d.at(host.Addr6().String())
				}
				for name, peer := range peers {
					path := "/" + row.allow + "/" + name
					a := get(t, peer, url+path)
					if slices.Contains(row.allowed, name) {
						a.Want(t, http.StatusOK)
					} else {
						w.wantOutside(t, path, a, "access_denied")
					}
				}
				d.stop()
			})
		}
	})
}
