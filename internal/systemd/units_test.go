package systemd_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"oauth-proxyd/internal/systemd"
)

// shownSocket is what systemd 252 shows of the packaged socket.
const shownSocket = `Id=oauth-proxyd.socket
LoadState=loaded
ActiveState=active
Result=success
Listen=[::]:8080 (Stream)
Listen=/run/other.sock (Stream)
IPAddressAllow=fd7a:115c:a1e0::/48 100.64.0.0/10 127.0.0.0/8 ::1/128
IPAddressDeny=0.0.0.0/0 ::/0
IPAccounting=yes
IPIngressBytes=1695
`

func TestUnitIsParsed(t *testing.T) {
	t.Parallel()
	units := systemd.ParseUnits("Id=a.service\nTriggeredBy=a.socket b.socket\nExecMainStatus=78\n\n" + shownSocket)
	if len(units) != 2 || len(units[0].TriggeredBy) != 2 || units[0].ExitStatus != "78" {
		t.Fatalf("%+v", units)
	}
	u := units[1]
	if u.Name != "oauth-proxyd.socket" || u.Load != "loaded" || u.Active != "active" || u.Result != "success" {
		t.Errorf("%+v", u)
	}
	if len(u.Listen) != 1 || u.Listen[0] != "[::]:8080" || len(u.Filter.Allow) != 4 || len(u.Filter.Deny) != 2 || u.Filter.Lost {
		t.Errorf("%+v", u)
	}
}

func TestFilterIsLost(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, old, shown string
		lost             bool
	}{
		{"bytes are counted", "", "", false},
		{"none came yet", "=1695", "=0", false},
		{"nothing is counted", "=1695", "=[no data]", true},
		{"counting is off", "IPAccounting=yes\nIPIngressBytes=1695", "IPAccounting=no\nIPIngressBytes=[no data]", false},
		{"the socket is closed", "ActiveState=active", "ActiveState=inactive\nIPIngressBytes=[no data]", false},
	} {
		u := systemd.ParseUnits(strings.Replace(shownSocket, row.old, row.shown, 1))[0]
		if u.Filter.Lost != row.lost {
			t.Errorf("%s: lost is %t", row.name, u.Filter.Lost)
		}
	}
}

func TestFilterAdmits(t *testing.T) {
	t.Parallel()
	shipped := systemd.ParseUnits(shownSocket)[0].Filter
	open := systemd.IPFilter{}
	oneDenied := systemd.IPFilter{Deny: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	for _, row := range []struct {
		filter systemd.IPFilter
		prefix string
		want   bool
	}{
		{shipped, "127.0.0.1/32", true},
		{shipped, "100.100.0.0/16", true},
		{shipped, "fd7a:115c:a1e0::7/128", true},
		{shipped, "192.168.7.0/24", false},
		{shipped, "2001:db8::/32", false},
		{shipped, "100.0.0.0/8", false},
		{shipped, "0.0.0.0/0", false},
		{shipped, "::/0", false},
		{open, "0.0.0.0/0", true},
		{oneDenied, "10.0.0.0/8", false},
		{oneDenied, "10.1.2.0/24", false},
		{oneDenied, "10.2.0.0/16", true},
	} {
		p := netip.MustParsePrefix(row.prefix)
		if got := row.filter.Admits(p); got != row.want {
			t.Errorf("%s: %t, want %t", p, got, row.want)
		}
	}
}

// The properties that decide which files a service can read are passed on, except for a service of
// root.
func TestViewOfAService(t *testing.T) {
	t.Parallel()
	const shown = "Environment=GOGC=200 A=b==\nUser=oauth-proxyd\nGroup=oauth-proxyd\nSupplementaryGroups=\nPrivateTmp=yes\nProtectHome=yes\n"
	want := []string{"Environment=GOGC=200 A=b==", "User=oauth-proxyd", "Group=oauth-proxyd", "PrivateTmp=yes", "ProtectHome=yes"}
	if got := systemd.ParseView(shown); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := systemd.ParseView("User=\nPrivateTmp=yes\n"); got != nil {
		t.Errorf("%q of a service of root", got)
	}
}
