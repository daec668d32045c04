package tailnet_test

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/tailnet"
)

// localAPI serves calls of the local API, by method and path, with a status and a body.
func localAPI(t *testing.T, calls map[string]http.HandlerFunc) *tailnet.Client {
	t.Helper()
	socket := socketPath(t)
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for call, response := range calls {
		mux.HandleFunc(call, response)
	}
	server := &http.Server{Handler: mux}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(ln) })
	t.Cleanup(func() { server.Close(); serving.Wait() })
	return tailnet.New(tailnet.Config{Socket: socket, AttemptTimeout: 5 * time.Second})
}

const statusWithPeers = `{"BackendState":"Running","CurrentTailnet":{"MagicDNSEnabled":true,"MagicDNSSuffix":"tail.ts.net"},
	"Self":{"ID":"n1","HostName":"box","DNSName":"box.tail.ts.net.","UserID":1,"TailscaleIPs":["100.64.0.1"],"Online":true},
	"Peer":{
		"nodekey:0000000000000000000000000000000000000000000000000000000000000002":
			{"ID":"n2","HostName":"Anns-Laptop","DNSName":"laptop.other.ts.net.","UserID":2,"TailscaleIPs":["100.64.0.2","fd7a:115c:a1e0::2"]},
		"nodekey:0000000000000000000000000000000000000000000000000000000000000003":
			{"ID":"n3","HostName":"gateway","DNSName":"ai.tail.ts.net.","UserID":3,"Tags":["tag:aperture"],"TailscaleIPs":["100.64.0.3"],
			 "Online":true,"Expired":true,"CapMap":{"funnel":null,"extra":[1]}}},
	"User":{"1":{"LoginName":"bob@example.com"},"2":{"LoginName":"ann@example.com"},"3":{"LoginName":"tagged-devices"}}}`

func TestNetwork(t *testing.T) {
	c := localAPI(t, map[string]http.HandlerFunc{"GET /localapi/v0/status": respond(200, statusWithPeers)})
	got, err := c.Network(t.Context())
	want := tailnet.Network{
		MagicDNS: true,
		Self: tailnet.Node{Online: true, Identity: access.Identity{
			Source: config.Tailnet, Node: "box.tail.ts.net", ShortNode: "box", NodeID: "n1", User: "bob@example.com",
			Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.1")},
		}},
		Peers: []tailnet.Node{
			{
				Online: true, KeyExpired: true, Attributes: []string{"extra", "funnel"},
				Source: config.Tailnet, Node: "ai.tail.ts.net", ShortNode: "ai", NodeID: "n3", Tags: []string{"tag:aperture"},
				Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.3")},
			},
			{
				Source: config.Tailnet, Node: "laptop.other.ts.net", NodeID: "n2", User: "ann@example.com",
				Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.2"), netip.MustParseAddr("fd7a:115c:a1e0::2")},
			},
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Network = %+v, %v\nwant %+v", got, err, want)
	}
}

func TestNetworkFind(t *testing.T) {
	c := localAPI(t, map[string]http.HandlerFunc{"GET /localapi/v0/status": respond(200, statusWithPeers)})
	network, err := c.Network(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"ai": "n3", "ai.tail.ts.net": "n3", "AI.tail.ts.net.": "n3", "n3": "n3", "100.64.0.3": "n3", "::ffff:100.64.0.3": "n3",
		"LAPTOP": "n2", "fd7a:115c:a1e0::2": "n2", "box": "", "nobody": "", "tail": "",
	} {
		var got strings.Builder
		for _, n := range network.Find(name) {
			got.WriteString(n.NodeID)
		}
		if got.String() != want {
			t.Errorf("Find(%q) = %q, want %q", name, got.String(), want)
		}
	}
}

func TestPrefs(t *testing.T) {
	for body, want := range map[string]tailnet.Prefs{
		`{"CorpDNS":true}`:                            {AcceptDNS: true},
		`{"ShieldsUp":true}`:                          {ShieldsUp: true},
		`{"ExitNodeID":"n9","ExitNodeIP":"1.2.3.4"}`:  {ExitNode: "n9"},
		`{"ExitNodeID":"","ExitNodeIP":"100.64.0.9"}`: {ExitNode: "100.64.0.9"},
	} {
		c := localAPI(t, map[string]http.HandlerFunc{"GET /localapi/v0/prefs": respond(200, body)})
		if got, err := c.Prefs(t.Context()); err != nil || got != want {
			t.Errorf("Prefs of %s = %+v, %v; want %+v", body, got, err, want)
		}
	}
}

func TestPublished(t *testing.T) {
	const web = `{"box.tail.ts.net:443":{"Handlers":{"/":{"Proxy":"http://127.0.0.1:8080"},"/files":{"Path":"/srv"}}}}`
	tests := []struct {
		name, body string
		want       []tailnet.Published
	}{
		{"nothing", `null`, nil},
		{"a website", `{"TCP":{"443":{"HTTPS":true}},"Web":` + web + `}`, []tailnet.Published{
			{Port: 443, Path: "/", Scheme: "https", Target: "http://127.0.0.1:8080"},
		}},
		{"the same for the internet", `{"TCP":{"443":{"HTTPS":true}},"Web":` + web + `,"AllowFunnel":{"box.tail.ts.net:443":true}}`, []tailnet.Published{
			{Port: 443, Path: "/", Scheme: "https", Target: "http://127.0.0.1:8080", Funnel: true},
		}},
		{"without TLS", `{"TCP":{"80":{"HTTP":true}},"Web":{"box.tail.ts.net:80":{"Handlers":{"/":{"Proxy":"8080"}}}}}`, []tailnet.Published{
			{Port: 80, Path: "/", Scheme: "http", Target: "8080"},
		}},
		{"TCP, one for the internet", `{"TCP":{"22":{"TCPForward":"localhost:22"},"443":{"TCPForward":"127.0.0.1:1"}},"AllowFunnel":{"box.tail.ts.net:443":true}}`, []tailnet.Published{
			{Port: 22, Scheme: "tcp", Target: "localhost:22"},
			{Port: 443, Scheme: "tcp", Target: "127.0.0.1:1", Funnel: true},
		}},
		{"in the foreground", `{"Foreground":{"f00":{"TCP":{"5":{"TCPForward":"localhost:1"}}}}}`, []tailnet.Published{
			{Port: 5, Scheme: "tcp", Target: "localhost:1"},
		}},
		{"a service", `{"Services":{"svc:api":{"TCP":{"6":{"TCPForward":"localhost:1"}}}}}`, []tailnet.Published{
			{Port: 6, Scheme: "tcp", Target: "localhost:1"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := localAPI(t, map[string]http.HandlerFunc{"GET /localapi/v0/serve-config": respond(200, tt.body)})
			got, err := c.Published(t.Context())
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Published = %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

func TestPublishedLeads(t *testing.T) {
	type leads struct {
		host string
		port uint16
		ok   bool
	}
	for target, want := range map[string]leads{
		"8080":                           {"localhost", 8080, true},
		"localhost:8080":                 {"localhost", 8080, true},
		"http://127.0.0.1:8080/path":     {"127.0.0.1", 8080, true},
		"tcp://[::1]:8080":               {"::1", 8080, true},
		"http://localhost":               {"localhost", 80, true},
		"https+insecure://10.0.0.1":      {"10.0.0.1", 443, true},
		"unix:/run/oauth-proxyd/x.sock":  {"", 0, false},
		"http://localhost:99999/":        {"localhost", 0, false},
		"text that is nothing of a kind": {"", 0, false},
	} {
		host, port, ok := tailnet.Published{Target: target}.HostPort()
		if got := (leads{host, port, ok}); got.ok != want.ok || want.ok && got != want {
			t.Errorf("%q leads to %+v, want %+v", target, got, want)
		}
	}
}

func TestFilterAdmits(t *testing.T) {
	tests := []struct {
		name, rules string
		want        bool
	}{
		{"everybody to everything", `[{"SrcIPs":["*"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]`, true},
		{"nothing", `[]`, false},
		{"no filter", `null`, false},
		{"its address to our port", `[{"SrcIPs":["100.64.0.3"],"DstPorts":[{"IP":"100.64.0.1","Ports":{"First":8080,"Last":8080}}]}]`, true},
		{"another address", `[{"SrcIPs":["100.64.0.4"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]`, false},
		{"another port", `[{"SrcIPs":["*"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":8079}},{"IP":"*","Ports":{"First":8081,"Last":9000}}]}]`, false},
		{"another destination", `[{"SrcIPs":["*"],"DstPorts":[{"IP":"100.64.0.2","Ports":{"First":0,"Last":65535}}]}]`, false},
		{"a prefix and a range", `[{"SrcIPs":["100.64.0.0/24"],"DstPorts":[{"IP":"100.64.0.0-100.64.0.1","Ports":{"First":8080,"Last":8080}}]}]`, true},
		{"a range that ends before", `[{"SrcIPs":["100.64.0.0-100.64.0.2"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]`, false},
		{"a range of the other family", `[{"SrcIPs":["::-ffff::"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]`, false},
		{"an attribute that it has", `[{"SrcIPs":["cap:extra"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]`, true},
		{"an attribute that it lacks", `[{"SrcIPs":["cap:other"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]`, false},
		{"UDP only", `[{"IPProto":[17],"SrcIPs":["*"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]`, false},
		{"TCP among others", `[{"IPProto":[17,6],"SrcIPs":["*"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]`, true},
		{"a capability opens no port", `[{"SrcIPs":["*"],"CapGrant":[{"Dsts":["100.64.0.1/32"],"CapMap":{"example.com/cap/x":null}}]}]`, false},
		{"nonsense", `[{"SrcIPs":["a-b","100.64.0.3/99"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}]`, false},
	}
	peer := tailnet.Node{Attributes: []string{"extra"}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := localAPI(t, map[string]http.HandlerFunc{"POST /localapi/v0/debug-packet-filter-rules": respond(200, tt.rules)})
			filter, err := c.Filter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := filter.AdmitsTCP(peer, netip.MustParseAddr("100.64.0.3"), netip.MustParseAddrPort("100.64.0.1:8080"))
			if got != tt.want {
				t.Errorf("AdmitsTCP = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMissingFacts(t *testing.T) {
	asks := map[string]func(*tailnet.Client) error{
		"GET /localapi/v0/status":       func(c *tailnet.Client) error { _, err := c.Network(t.Context()); return err },
		"GET /localapi/v0/prefs":        func(c *tailnet.Client) error { _, err := c.Prefs(t.Context()); return err },
		"GET /localapi/v0/serve-config": func(c *tailnet.Client) error { _, err := c.Published(t.Context()); return err },
		"POST /localapi/v0/debug-packet-filter-rules": func(c *tailnet.Client) error {
			_, err := c.Filter(t.Context())
			return err
		},
	}
	for call, ask := range asks {
		for name, response := range map[string]http.HandlerFunc{"garbage": respond(200, "<html>"), "an error": respond(500, "boom")} {
			if ask(localAPI(t, map[string]http.HandlerFunc{call: response})) == nil {
				t.Errorf("%s, %s: no error", call, name)
			}
		}
	}
	denied := localAPI(t, map[string]http.HandlerFunc{"POST /localapi/v0/debug-packet-filter-rules": respond(403, "debug access denied")})
	if _, err := denied.Filter(t.Context()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("without the right: %v", err)
	}
}

func TestExpiryWarning(t *testing.T) {
	soon := tailnet.Status{KeyExpiry: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), KeyNotice: 3 * 24 * time.Hour}
	if got := soon.ExpiryWarning(); !strings.HasPrefix(got, "the node key expires at 2026-06-01 12:00 UTC; run ") {
		t.Errorf("ExpiryWarning = %q", got)
	}
	if got := (tailnet.Status{KeyExpiry: soon.KeyExpiry}).ExpiryWarning(); got != "" {
		t.Errorf("ExpiryWarning without a notice = %q", got)
	}
}
