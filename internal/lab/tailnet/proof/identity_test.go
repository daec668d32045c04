package proof_test

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/tailnet"
)

const (
	capability      = "example.com/cap/claude"
	shareCapability = "oauth-proxyd.internal/cap/share"
)

// cast are a host and the peers that ask it for something.
type cast struct {
	lab   *tailnet.Lab
	host  *tailnet.Node
	peers map[string]*tailnet.Node
}

func newCast(t *testing.T, tun bool) cast {
	t.Helper()
	lab := tailnet.Start(t)
	c := cast{lab: lab, host: lab.Node(tailnet.Spec{Name: "proxy", TUN: tun}), peers: map[string]*tailnet.Node{}}
	for _, spec := range []tailnet.Spec{
		{Name: "alice-laptop", User: "alice@example.com"},
		{Name: "bob-laptop", User: "bob@example.com"},
		{Name: "aperture", Tags: []string{"tag:aperture"}},
		{Name: "builder", Tags: []string{"tag:ci", "tag:build"}},
	} {
		spec.TUN = tun
		c.peers[spec.Name] = lab.Node(spec)
	}
	lab.Grant(tailnet.Grant{}, tailnet.Grant{From: []*tailnet.Node{c.peers["bob-laptop"]}, To: []*tailnet.Node{c.host}, Capabilities: map[string]string{capability: ""}})
	return c
}

func TestAccessByUserTagNodeAndCapability(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		c := newCast(t, tun)
		upstream := newGated(t, c.host).url
		id := string(c.peers["builder"].Status().Self.ID)
		for _, row := range []struct {
			allow   string
			allowed []string
		}{
			{"tailnet", []string{"alice-laptop", "bob-laptop", "aperture", "builder"}},
			{"alice@example.com", []string{"alice-laptop"}},
			{"tag:aperture", []string{"aperture"}},
			{"tag:build", []string{"builder"}},
			{"node:bob-laptop." + tailnet.Domain, []string{"bob-laptop"}},
			{"node:" + id, []string{"builder"}},
			{"cap:" + capability, []string{"bob-laptop"}},
			{"local", nil},
		} {
			t.Run(row.allow, func(t *testing.T) {
				d := start(t, setting{node: c.host, upstream: upstream, blocks: []string{list(row.allow)}})
				for name, peer := range c.peers {
					a := get(t, peer, d.url()+"/"+name)
					if slices.Contains(row.allowed, name) {
						a.Want(t, http.StatusOK, "GET /"+name)
						d.log.Next(t, `"path":"/`+name+`"`)
					} else {
						a.Want(t, http.StatusForbidden, "access_denied", "logging in again does not help")
					}
				}
				here := getHere(t, c.host, d.local()+"/here")
				if want := map[bool]int{true: 200, false: 403}[row.allow == "local"]; here.Status != want {
					t.Errorf("this host itself got %d, want %d", here.Status, want)
				}
				d.stop()
			})
		}
	})
}

// TestPolicyBoundsAUser has a grant of the tailnet's policy say how many requests of a user run at
// once. A later grant holds from the user's next connection on.
func TestPolicyBoundsAUser(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		c := newCast(t, tun)
		bob, g := c.peers["bob-laptop"], newGated(t, c.host)
		grant := func(share string) {
			c.lab.Grant(tailnet.Grant{}, tailnet.Grant{
				From: []*tailnet.Node{bob}, To: []*tailnet.Node{c.host}, Capabilities: map[string]string{shareCapability: share},
			})
		}
		grant(`{"max_requests": 1}`)
		d := start(t, setting{node: c.host, upstream: g.url, proxy: `queue_timeout = "1s"`})
		streams := []*stream{open(t, bob, d.url(), g)}
		get(t, bob, d.url()+"/second").Want(t, http.StatusServiceUnavailable, "overloaded")
		get(t, c.peers["alice-laptop"], d.url()+"/other").Want(t, http.StatusOK)
		grant(`{"max_requests": 2}`)
		streams = append(streams, open(t, bob, d.url(), g))
		close(g.gate)
		for _, s := range streams {
			s.wantWhole()
		}
	})
}

func TestTheLogNamesWhoAsked(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		c := newCast(t, tun)
		d := start(t, setting{node: c.host, upstream: newGated(t, c.host).url})
		for name, who := range map[string][2]string{
			"alice-laptop": {`"user":"alice@example.com"`, `"tags"`},
			"aperture":     {`"tags":"tag:aperture"`, `"user"`},
			"builder":      {`tag:ci`, `"user"`},
		} {
			get(t, c.peers[name], d.url()+"/"+name).Want(t, 200)
			line := d.log.Next(t, `"path":"/`+name+`"`)
			if !daemontest.ContainsAll(line, []string{`"source":"tailnet"`, fmt.Sprintf(`"node":"%s.%s"`, name, tailnet.Domain), who[0]}) || strings.Contains(line, who[1]) {
				t.Errorf("%s: %s", name, line)
			}
		}
		v6 := "http://" + net.JoinHostPort(c.host.Addr6().String(), d.port())
		get(t, c.peers["aperture"], v6+"/v6").Want(t, 200)
		d.log.Next(t, `"path":"/v6"`, `"source":"tailnet"`, `"tags":"tag:aperture"`)
		getHere(t, c.host, d.local()+"/here").Want(t, 200)
		d.log.Next(t, `"path":"/here"`, `"source":"local"`)
		if tun { // this host by its own address on the tailnet is this host
			getHere(t, c.host, d.at(c.host.Addr().String())+"/self").Want(t, 200)
			d.log.Next(t, `"path":"/self"`, `"source":"local"`)
		}
	})
}

func TestTailscaleServeInFrontIsProxied(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, tun bool) {
		lab := tailnet.Start(t)
		host := lab.Node(tailnet.Spec{Name: "proxy", TUN: tun})
		peer := lab.Node(tailnet.Spec{Name: "peer", TUN: tun, User: "alice@example.com"})
		upstream := serve(t, host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "header %q", r.Header)
		}))
		served := "http://" + host.DNSName()
		for _, row := range []struct {
			allow []string
			code  int
		}{
			{[]string{"local", "tailnet", "alice@example.com"}, http.StatusForbidden},
			{[]string{"proxied"}, http.StatusOK},
		} {
			d := start(t, setting{node: host, upstream: upstream, blocks: []string{list(row.allow...)}})
			host.Tailscale("serve", "--bg", "--http=80", d.local())
			a := get(t, peer, served+"/x")
			a.Want(t, row.code)
			if row.code == http.StatusForbidden {
				d.log.Next(t, `"source":"proxied"`, `"outcome":"access_denied"`)
			}
			for _, secret := range []string{"Tailscale-", "X-Forwarded", "alice"} {
				if strings.Contains(a.Body, secret) {
					t.Errorf("the upstream was told %q: %s", secret, a.Body)
				}
			}
			host.Tailscale("serve", "reset")
			d.stop()
		}
	})
}

// TestAPeerIsNotLocalWhileTailscaledHangs has one in userspace mode that still delivers its peers
// from loopback when it does not say any more that it does.
func TestAPeerIsNotLocalWhileTailscaledHangs(t *testing.T) {
	t.Parallel()
	lab, host := newHost(t, false)
	peer := lab.Node(tailnet.Spec{Name: "peer"})
	tap := newTap(t, host)
	d := start(t, setting{node: host, upstream: newGated(t, host).url, env: tap.env(), blocks: []string{list("local")}})
	get(t, peer, d.url()+"/before").Want(t, http.StatusForbidden)
	tap.hang(statusPath)
	d.notes.Next(t, "STATUS=", "no response on")
	get(t, peer, d.url()+"/after").Want(t, http.StatusServiceUnavailable, "tailnet_unavailable")
	getHere(t, host, d.local()+"/here").Want(t, http.StatusOK)
}
