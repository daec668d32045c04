package proxy_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"oauth-proxyd/internal/config"
)

// An address names a node as a name does. It is written down where nothing else names the sender,
// as the log names people.
func TestAddressIsLoggedAsNamesAre(t *testing.T) {
	for mode, row := range map[string]struct {
		shown func(string) string
		want  string // of the field; "": absent
	}{
		"full":   {nil, "192.0.2.7"},
		"hashed": {func(string) string { return "c0ffee" }, "c0ffee"},
		"none":   {func(string) string { return "" }, ""},
	} {
		t.Run(mode, func(t *testing.T) {
			d := openDoor(t, newUpstream(t, "http1", func(http.ResponseWriter, *http.Request) {}),
				between(otherAddr, "192.0.2.8:8080"), func(s *setup) { s.LogIdentity = row.shown })
			conn := d.dial(t)
			conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			response, body := conn.response(t, "GET")
			trace, err := json.Marshal(d.found(t, response.Header.Get("X-Request-Id")))
			if err != nil {
				t.Fatal(err)
			}
			for where, text := range map[string]string{"the log": d.log.requests(t, 1)[0], "the recorder": string(trace)} {
				if row.want != "" && !strings.Contains(text, `"address":"`+row.want+`"`) {
					t.Errorf("%s lacks the address %q: %s", where, row.want, text)
				}
				if row.want == "" && strings.Contains(text, `"address"`) || mode != "full" && strings.Contains(text, "192.0.2.7") {
					t.Errorf("%s has the address: %s", where, text)
				}
			}
			if response.StatusCode != http.StatusForbidden || strings.Contains(body, "192.0.2.7") {
				t.Errorf("status %d: %s", response.StatusCode, body)
			}
		})
	}
}

// Once names are withheld, nothing that was remembered before tells them.
func TestSendersCanBeForgotten(t *testing.T) {
	arrived, leave := make(chan struct{}, 1), make(chan struct{})
	up := newUpstream(t, "http1", func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			arrived <- struct{}{}
			<-leave
		}
	})
	d := openDoor(t, up, between(peerAddr, hostAddr), knows(knownPeer()), allow(config.Source{Kind: config.Tailnet}),
		believes("X-Person", config.Source{Kind: config.Tailnet}))
	named := request(t, http.MethodGet, d.url("/"), nil)
	named.Header.Set("X-Person", "ann@example.com")
	do(t, newClient(t), named)
	waiting := d.dial(t)
	waiting.send(t, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
	receive(t, arrived, "the request that lasts")
	eventually(t, "one has ended, one is in flight", func() bool { return len(d.Ended()) == 1 && len(d.InFlight()) == 1 })
	d.ForgetSenders()
	for _, trace := range append(d.Ended(), d.InFlight()...) {
		if trace.Node != "" || trace.User != "" || trace.Person != "" || trace.Source != config.Tailnet {
			t.Errorf("remembered: %+v", trace)
		}
	}
	close(leave)
	waiting.response(t, "GET")
}
