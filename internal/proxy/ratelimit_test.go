package proxy_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oauth-proxyd/internal/proxy"
)

// limits are the series about rate limits that are not zero, sorted: the window, the state if there
// is one, and the value.
func limits(t testing.TB, reg prometheus.Gatherer) []string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var series []string
	for _, f := range families {
		if f.GetName() != "proxy_upstream_accounts" && f.GetName() != "proxy_upstream_utilization_max_ratio" {
			continue
		}
		for _, m := range f.GetMetric() {
			words := map[string]string{}
			for _, l := range m.GetLabel() {
				words[l.GetName()] = l.GetValue()
			}
			if v := m.GetGauge().GetValue(); v != 0 {
				series = append(series, strings.Join(strings.Fields(fmt.Sprint(words["window"], " ", words["state"], " ", v)), " "))
			}
		}
	}
	slices.Sort(series)
	return series
}

// limitCase is what a client's responses say of limits, and what comes of it.
type limitCase struct {
	responses []map[string]string
	want      []string
}

func limitCases() map[string]limitCase {
	type header = map[string]string
	soon := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	past := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	const p = "anthropic-ratelimit-unified-"
	return map[string]limitCase{
		"no account, no limits": {
			[]header{{}, {p + "status": "allowed"}, {"anthropic-organization-id": "a"}}, nil,
		},
		"one account, the latest response counts": {
			[]header{
				{"anthropic-organization-id": "a", p + "status": "allowed", p + "5h-utilization": "0.9", p + "reset": soon},
				{
					"anthropic-organization-id": "a", p + "status": "allowed_warning",
					p + "5h-status": "allowed", p + "5h-utilization": "0.42", p + "7d-utilization": "0.8", p + "5h-reset": soon,
				},
			},
			[]string{"5h 0.42", "5h allowed 1", "7d 0.8", "7d unknown 1", "unified allowed_warning 1"},
		},
		"two accounts": {
			[]header{
				{"anthropic-organization-id": "a", p + "status": "rejected", p + "5h-utilization": "1.02"},
				{"anthropic-organization-id": "b", p + "status": "allowed", p + "5h-utilization": "0.5"},
			},
			[]string{"5h 1.02", "5h allowed 1", "5h unknown 1", "unified allowed 1", "unified rejected 1"},
		},
		"a window that began anew is not known": {
			[]header{{"anthropic-organization-id": "a", p + "5h-status": "rejected", p + "5h-utilization": "1", p + "5h-reset": past}},
			[]string{"5h unknown 1"},
		},
		"words and numbers of a hostile upstream": {
			[]header{{"anthropic-organization-id": "a", p + "status": "on fire", p + "5h-utilization": "NaN", p + "7d-utilization": "1e300", p + "reset": "soon"}},
			[]string{"5h unknown 1", "7d 10", "7d unknown 1", "unified other 1"},
		},
	}
}

func TestRateLimitsByAccount(t *testing.T) {
	for name, c := range limitCases() {
		t.Run(name, func(t *testing.T) {
			next := make(chan map[string]string, len(c.responses))
			up := newUpstream(t, "http1", func(w http.ResponseWriter, _ *http.Request) {
				for name, value := range <-next {
					w.Header().Set(name, value)
				}
			})
			d := openDoor(t, up)
			for _, h := range c.responses {
				next <- h
				do(t, newClient(t), request(t, http.MethodGet, d.url("/"), nil))
			}
			if got := limits(t, d.reg); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Neither the metrics nor what is kept for them names an organization, and what is kept tells
// nothing to who knows that of another process.
func TestOrganizationsAreKeptAsHashes(t *testing.T) {
	const organization = "3f2c1d9e-org"
	keeps := func() string {
		a := proxy.NewAccounts()
		a.Add(http.Header{"Anthropic-Organization-Id": {organization}, "Anthropic-Ratelimit-Unified-Status": {"allowed"}})
		return proxy.KnownAccounts(a)
	}
	first, second := keeps(), keeps()
	if strings.Contains(first, organization) || strings.Contains(first, fmt.Sprintf("%x", organization)) {
		t.Errorf("it keeps %s", first)
	}
	if first == second || len(first) == 0 {
		t.Errorf("two processes keep %q and %q", first, second)
	}
}

func TestAccountsAreBoundedAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := proxy.NewAccounts()
		reg := prometheus.NewRegistry()
		reg.MustRegister(a)
		for i := range 1000 {
			a.Add(http.Header{
				"Anthropic-Organization-Id":          {fmt.Sprint("org", i)},
				"Anthropic-Ratelimit-Unified-Status": {"allowed"},
			})
			time.Sleep(time.Second)
		}
		expect := func(when string, want ...string) {
			if got := limits(t, reg); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		expect("after 1000 accounts", "unified allowed 200")
		time.Sleep(8*time.Hour - 100*time.Second)
		expect("when half of them were not seen for 8 hours", "unified allowed 99")
		time.Sleep(100 * time.Second)
		expect("after 8 hours")
	})
}
