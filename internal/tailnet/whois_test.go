package tailnet_test

import (
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/tailnet"
)

func TestWhoIs(t *testing.T) {
	user := `{"Node":{"StableID":"nCNTRL1","Name":"laptop.tail.ts.net."},
		"UserProfile":{"LoginName":"ann@example.com"},
		"CapMap":{"ex.com/z":null,"ex.com/a":[{"x":1}],"ex.com/d":null,"ex.com/c":null,"ex.com/b":null}}`
	tagged := `{"Node":{"StableID":"nCNTRL2","Name":"ai.tail.ts.net.","Tags":["tag:aperture"]},
		"UserProfile":{"LoginName":"tagged-devices"}}`
	tests := []struct {
		name, body string
		want       access.Identity
	}{
		{"user's node", user, access.Identity{
			Node: "laptop.tail.ts.net", NodeID: "nCNTRL1", User: "ann@example.com",
			Capabilities: []string{"ex.com/a", "ex.com/b", "ex.com/c", "ex.com/d", "ex.com/z"},
		}},
		{"tagged node", tagged, access.Identity{Node: "ai.tail.ts.net", NodeID: "nCNTRL2", Tags: []string{"tag:aperture"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t)
			d.Handle("whois", respond(http.StatusOK, tt.body))
			got, found, err := client(d.socket).WhoIs(t.Context(), netip.MustParseAddrPort("100.64.0.9:40000"))
			if err != nil || !found || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("WhoIs = %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

func TestWhoIsReadsShares(t *testing.T) {
	tests := []struct {
		name, grants string
		want         access.Share
		fault        string
	}{
		{"both", `{"weight": 2, "max_requests": 20}`, access.Share{Weight: 2, MaxRequests: 20}, ""},
		{"one", `{"weight": 3}`, access.Share{Weight: 3}, ""},
		{"nothing", `{}`, access.Share{Weight: 1}, ""},
		{"the greatest of several", `{"weight": 3, "max_requests": 5}, {"weight": 2, "max_requests": 9}`, access.Share{Weight: 3, MaxRequests: 9}, ""},
		{"a bad one beside a good one", `{"weight": "much"}, {"max_requests": 4}`, access.Share{Weight: 1, MaxRequests: 4}, "not an object such as"},
		{"a misspelled name", `{"wieght": 2}`, access.Share{}, `unknown field "wieght"`},
		{"no object", `"2"`, access.Share{}, "not an object such as"},
		{"no weight", `{"weight": 0}`, access.Share{}, "weight must be from 1 to 100"},
		{"too much", `{"weight": 101}`, access.Share{}, "weight must be from 1 to 100"},
		{"no difference", `{"max_requests": 0}`, access.Share{Weight: 1}, ""},
		{"too many requests", `{"max_requests": 1000001}`, access.Share{}, "max_requests must be from 0 to 1000000"},
		{"fewer than none", `{"max_requests": -1}`, access.Share{}, "max_requests must be from 0 to 1000000"},
		{"too large for a number", `{"max_requests": 1e99}`, access.Share{}, "not an object such as"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t)
			d.Handle("whois", respond(http.StatusOK, `{"Node":{"StableID":"n","Name":"a."},"UserProfile":{"LoginName":"ann@example.com"},
				"CapMap":{"`+access.ShareCapability+`":[`+tt.grants+`]}}`))
			got, _, err := client(d.socket).WhoIs(t.Context(), netip.MustParseAddrPort("100.64.0.9:40000"))
			if err != nil || got.Share != tt.want || !strings.Contains(got.ShareFault, tt.fault) || (tt.fault == "") != (got.ShareFault == "") {
				t.Errorf("%+v, fault %q, %v; want %+v, %q", got.Share, got.ShareFault, err, tt.want, tt.fault)
			}
		})
	}
}

func TestWhoIsFails(t *testing.T) {
	commands(t, nil)
	tests := []struct {
		name     string
		response http.HandlerFunc
		notFound bool
	}{
		{"not found", respond(404, "no match for IP:port\n"), true},
		{"forbidden", respond(403, "whois access denied"), false},
		{"server error", respond(500, "boom"), false},
		{"garbage", respond(200, "<html>"), false},
		{"null", respond(200, "null"), false},
		{"no node", respond(200, `{"UserProfile":{"LoginName":"a"}}`), false},
		{"no user profile", respond(200, `{"Node":{"Name":"a."}}`), false},
		{"hangs", hang, false},
		{"hangs in the middle", stall, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t)
			d.Handle("whois", tt.response)
			c := tailnet.New(tailnet.Config{Socket: d.socket, AttemptTimeout: patience(tt.name)})
			_, found, err := c.WhoIs(t.Context(), netip.MustParseAddrPort("100.64.0.9:40000"))
			if found || (err == nil) != tt.notFound {
				t.Errorf("found = %v, error = %v, want not found: %v", found, err, tt.notFound)
			}
			if err != nil && strings.Contains(err.Error(), "100.64") {
				t.Errorf("error %q tells the peer's address", err)
			}
		})
	}
}

func TestWhoIsWithoutDaemon(t *testing.T) {
	if _, _, err := client(socketPath(t)).WhoIs(t.Context(), netip.MustParseAddrPort("100.64.0.9:1")); err == nil {
		t.Error("no error, which says that there is no such peer")
	}
}

func TestWhoIsAddresses(t *testing.T) {
	tests := []struct {
		name, addr string
		asked      []string
	}{
		{"v4", "100.64.0.9:1", []string{"100.64.0.9:1"}},
		{"v4 in v6", "[::ffff:100.64.0.9]:1", []string{"100.64.0.9:1"}},
		{"v6", "[fd7a:115c:a1e0::9]:1", []string{"[fd7a:115c:a1e0::9]:1"}},
		{"loopback is asked for twice if the response came at once", "127.0.0.1:1", []string{"127.0.0.1:1", "127.0.0.1:1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t)
			asked := make(chan string, 10)
			d.Handle("whois", func(w http.ResponseWriter, r *http.Request) {
				asked <- r.URL.Query().Get("addr")
				http.Error(w, "no match for IP:port", http.StatusNotFound)
			})
			_, found, err := client(d.socket).WhoIs(t.Context(), netip.MustParseAddrPort(tt.addr))
			if found || err != nil {
				t.Errorf("found = %v, error = %v, want neither", found, err)
			}
			close(asked)
			var got []string
			for addr := range asked {
				got = append(got, addr)
			}
			if !reflect.DeepEqual(got, tt.asked) {
				t.Errorf("asked for %q, want %q", got, tt.asked)
			}
		})
	}
}
