package config_test

import (
	"strings"
	"testing"

	"oauth-proxyd/internal/config"
)

func TestUnmatched(t *testing.T) {
	const none = "tailscale {\n  required = false\n}\n"
	tests := []struct{ name, text, want string }{
		{"the defaults", "", ""},
		{"each kind", `access { allow = ["local", "tailnet", "proxied", "a@example.com", "tag:a", "node:a", "cap:example.com/a", "10.0.0.0/8", "0.0.0.0/0", "::/0"] }`, ""},
		{"a tag without a tailnet", none + `access { allow = ["local", "tag:a"] }`, `access.allow: "tag:a" matches nobody: with tailscale.required = false`},
		{"the default without a tailnet", none, ""},
		{"a node without a tailnet, for metrics", none + "access {\n  allow = [\"local\"]\n}\n" + `metrics { allow = ["node:prometheus"] }`, `metrics.allow: "node:prometheus" matches nobody`},
		{"multicast", `access { allow = ["224.0.0.0/8"] }`, `"224.0.0.0/8" matches nobody: no connection comes from a multicast address`},
		{"multicast of IPv6", `access { allow = ["ff02::1"] }`, `"ff02::1" matches nobody`},
		{"the unspecified address", `access { allow = ["0.0.0.0"] }`, `everybody is "0.0.0.0/0"`},
		{"the unspecified address of IPv6", `access { allow = ["::"] }`, `everybody is "::/0"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Parse("test.hcl", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(c.Unmatched(), "\n")
			if got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") && !strings.Contains(tt.name, "metrics")) {
				t.Errorf("Unmatched = %q, want %q", got, tt.want)
			}
		})
	}
}
