package doctor_test

import (
	"strings"
	"testing"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/doctor"
)

const (
	shownService = "Id=oauth-proxyd.service\nLoadState=loaded\nActiveState=active\n\n"
	shownFilter  = "IPAddressAllow=fd7a:115c:a1e0::/48 100.64.0.0/10 127.0.0.0/8 ::1/128\nIPAddressDeny=0.0.0.0/0 ::/0\nIPAccounting=yes\n"
	shownSocket  = "Id=oauth-proxyd.socket\nLoadState=loaded\nActiveState=active\nListen=[::]:8080 (Stream)\nIPIngressBytes=0\n" + shownFilter
	secondSocket = "\nId=lan.socket\nLoadState=loaded\nActiveState=active\nListen=[::]:8081 (Stream)\n"
)

func TestWhomTheSocketUnitKeepsOut(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, shown, config, want string }{
		{"the default", shownSocket, "", ""},
		{"a part of the tailnet", shownSocket, `access { allow = ["local", "100.100.0.0/16", "fd7a:115c:a1e0:1::/64", "127.0.0.1"] }`, ""},
		{
			"the local network", shownSocket, `access { allow = ["local", "192.168.7.0/24"] }`,
			`access.allow: IPAddressDeny= of oauth-proxyd.socket drops packets from "192.168.7.0/24"; systemctl edit oauth-proxyd.socket` +
				"   # add these lines, which apply at once:; [Socket]\nIPAddressAllow=192.168.7.0/24",
		},
		{"everybody", shownSocket, `access { allow = ["0.0.0.0/0"] }`, `access.allow: IPAddressDeny= of oauth-proxyd.socket drops packets from "0.0.0.0/0"`},
		{"a host that scrapes", shownSocket, `metrics { allow = ["192.168.7.9"] }`, `metrics.allow: IPAddressDeny= of oauth-proxyd.socket drops packets from "192.168.7.9/32"`},
		{"a drop-in for them", strings.Replace(shownSocket, "::1/128", "::1/128 192.168.7.0/24", 1), `access { allow = ["192.168.7.0/24"] }`, ""},
		{"a unit without a filter", strings.Replace(shownSocket, shownFilter, "", 1), `access { allow = ["192.168.7.0/24"] }`, ""},
		{"a second socket for them", shownSocket + secondSocket, `access { allow = ["192.168.7.0/24"] }`, ""},
		{"a second socket with the same filter", shownSocket + secondSocket + shownFilter + "IPIngressBytes=0\n", `access { allow = ["192.168.7.0/24"] }`, "drops packets from"},
		{"a kernel that cannot do it", strings.Replace(shownSocket, "IPIngressBytes=0", "IPIngressBytes=[no data]", 1), "", "IPAddressDeny= of oauth-proxyd.socket is not active"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c, err := config.Parse("test.hcl", []byte(row.config))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range doctor.JudgeFilter(shownService+row.shown, c) {
				got = append(got, strings.Join(append([]string{f.Seen}, f.Fix...), "; "))
			}
			all := strings.Join(got, "\n")
			if !strings.Contains(all, row.want) || (row.want == "") != (all == "") {
				t.Errorf("%q, want %q", all, row.want)
			}
		})
	}
}
