package tailnet_test

import (
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/tailnet"
)

func TestStatus(t *testing.T) {
	d := startDaemon(t)
	expiry := time.Date(2040, 5, 6, 7, 8, 9, 0, time.UTC)
	d.SetStatus(withKeyExpiry("Running", expiry.In(time.FixedZone("", 3600))))
	got, err := client(d.socket).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := tailnet.Status{
		Backend:   "Running",
		Name:      "box.tail.ts.net",
		Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.7"), netip.MustParseAddr("fd7a:115c:a1e0::7")},
		KeyExpiry: expiry,
		Version:   "1.102.5-t1",
		PID:       os.Getpid(),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Status:\n got %+v\nwant %+v", got, want)
	}
}

func TestStatusBeforeLogin(t *testing.T) {
	d := startDaemon(t)
	d.SetStatus(`{"BackendState":"NeedsLogin","TUN":false,"AuthURL":"https://login.example/a/1","Self":null}`)
	got, _ := client(d.socket).Connect(t.Context()) // the facts come with the verdict
	want := tailnet.Status{
		Backend: "NeedsLogin", AuthURL: "https://login.example/a/1", Userspace: true, PID: os.Getpid(),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Status = %+v; want %+v", got, want)
	}
}

func TestStatusAddresses(t *testing.T) {
	d := startDaemon(t)
	d.SetStatus(`{"BackendState":"Stopped","Self":{"TailscaleIPs":["100.64.0.7"]}}`)
	got, _ := client(d.socket).Connect(t.Context())
	if want := []netip.Addr{netip.MustParseAddr("100.64.0.7")}; !slices.Equal(got.Addresses, want) {
		t.Errorf("Addresses = %v; want %v", got.Addresses, want)
	}
}

func TestStatusWarnings(t *testing.T) {
	tests := []struct {
		name, more string
		want       []string
	}{
		{"none", ``, nil},
		{"sorted, once each", `,"Health":["b","a","b",""]`, []string{"a", "b"}},
		{"warming up is no warning", `,"Health":["Tailscale is starting. Please wait.","a"]`, []string{"a"}},
		{
			"IP forwarding does not concern us",
			`,"Health":["Subnet routing is enabled, but IP forwarding is disabled. Check that IP forwarding is enabled on your machine."]`,
			nil,
		},
		{
			"the login URL stays out",
			`,"AuthURL":"https://login.example/a/1","Health":["Log in: https://login.example/a/1"]`,
			[]string{"Log in: (login URL)"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t)
			d.SetStatus(statusJSON("Running", tt.more))
			got, err := client(d.socket).Connect(t.Context())
			if err != nil || !slices.Equal(got.Warnings, tt.want) {
				t.Errorf("Warnings = %q, %v; want %q", got.Warnings, err, tt.want)
			}
		})
	}
}

func TestStatusKeyExpired(t *testing.T) {
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	tests := []struct {
		name, body string
		want       bool
	}{
		{"logged out by expiry", withKeyExpiry("NeedsLogin", past), true},
		{"logged out, key still good", withKeyExpiry("NeedsLogin", future), false},
		{"running on a wrong clock", withKeyExpiry("Running", past), false},
		{"said so", strings.Replace(statusJSON("NeedsLogin", ""), `"Self":{`, `"Self":{"Expired":true,`, 1), true},
		{"a key that never expires", statusJSON("NeedsLogin", ""), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t)
			d.SetStatus(tt.body)
			got, _ := client(d.socket).Connect(t.Context())
			if got.KeyExpired != tt.want {
				t.Errorf("KeyExpired = %v; want %v", got.KeyExpired, tt.want)
			}
		})
	}
}
