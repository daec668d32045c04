package proxy

import (
	"net/http"
	"net/netip"
	"testing"

	"oauth-proxyd/internal/inbound"
)

// sentFrom is a request that a peer sent to us, and we to another host of a private network.
func sentFrom(remote string) *sentForm {
	return &sentForm{
		came:   hopForm{remote: netip.MustParseAddr(remote), host: "ours:8080", version: 1, order: inbound.OrderOf("host", "x-api-key", "accept")},
		length: 10, host: "gateway.example.com",
		local: netip.MustParseAddr("10.0.0.1"), remote: netip.MustParseAddr("10.0.0.2"),
	}
}

// again is the same request as it comes in once more.
func again(s *sentForm, change func(*arrival)) *arrival {
	a := &arrival{hopForm: s.came, header: http.Header{}, local: netip.MustParseAddr("10.0.0.1"), length: s.length}
	change(a)
	return a
}

func TestWhatShowsThatARequestHasComeBack(t *testing.T) {
	t.Parallel()
	from := func(addr string) func(*arrival) {
		return func(a *arrival) { a.remote = netip.MustParseAddr(addr) }
	}
	both := func(changes ...func(*arrival)) func(*arrival) {
		return func(a *arrival) {
			for _, change := range changes {
				change(a)
			}
		}
	}
	older := func(a *arrival) { a.version = 0 }
	sorted := func(a *arrival) { a.order = inbound.OrderOf("Accept", "Host", "X-Api-Key") }
	unknown := func(a *arrival) { a.order = inbound.FieldOrder{} }
	forUs := func(a *arrival) { a.header.Set("X-Forwarded-For", "10.9.9.9, 10.0.0.1") }
	forOther := func(a *arrival) { a.header.Set("Forwarded", `for="192.0.2.60:1234";proto=http`) }
	named := func(a *arrival) { a.forwarded = "Via" }
	hosted := func(a *arrival) { a.host = "gateway.example.com" }
	otherName := func(a *arrival) { a.host = "10.0.0.1:8080" }
	for _, c := range []struct {
		name    string
		changed bool
		change  func(*arrival)
		want    error
	}{
		{"a duplicate", false, func(*arrival) {}, nil},
		{"a duplicate whose order is not known", false, unknown, nil},
		{"another machine with the same program and key", false, from("10.0.0.8"), nil},
		{"another machine that uses another name of ours", false, both(from("10.0.0.8"), otherName), nil},
		{"another machine through another proxy", false, both(from("10.0.0.8"), older, sorted), nil},
		{"another machine whose program adds itself what our rules add", true, from("10.0.0.8"), nil},
		{"another body", true, both(from("10.0.0.2"), func(a *arrival) { a.length = 11 }), nil},
		{"the upstream's host", false, from("10.0.0.2"), errFromUpstream},
		{"the upstream's host, without a length", false, both(from("10.0.0.2"), func(a *arrival) { a.length = -1 }), errFromUpstream},
		{"the upstream's host, written again", false, both(from("10.0.0.2"), sorted), errSentAgain},
		{"the upstream's host, for a client of its own", false, both(from("10.0.0.2"), named, forOther), nil},
		{"the upstream's host, with what our rules changed", true, from("10.0.0.2"), errOurChanges},
		{"a third host that says it is for us", false, both(from("10.0.0.8"), named, forUs), errSentAgain},
		{"a third host, with what our rules changed", true, both(from("10.0.0.8"), sorted), errOurChanges},
		{"a third host that keeps the Host, likewise", true, both(from("10.0.0.8"), hosted), errOurChanges},
	} {
		s := sentFrom("10.0.0.7")
		s.changed = c.changed
		if got := s.evidence(again(s, c.change)); got != c.want { //nolint:errorlint // it is one of these
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	s := sentFrom("10.0.0.2")
	if got := s.evidence(again(s, func(*arrival) {})); got != nil {
		t.Errorf("duplicates of a client on the upstream's host: %v", got)
	}
}

func TestForwardedFor(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"192.0.2.1":                          "192.0.2.1",
		"192.0.2.1:443":                      "192.0.2.1",
		"::ffff:192.0.2.1":                   "192.0.2.1",
		"[2001:db8::1]:443":                  "2001:db8::1",
		`For="[2001:db8::1]:443";proto=http`: "2001:db8::1",
		"for=_hidden, unknown":               "",
	} {
		got := forwardedFor(http.Header{"Forwarded": {field}})
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || got[0] != netip.MustParseAddr(want)) {
			t.Errorf("%s: %v, want %s", field, got, want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	f := newLoops().prints
	header := func(fields ...string) http.Header {
		h := http.Header{"Authorization": {"Bearer x"}, "Accept": {"a", "b"}}
		for i := 0; i < len(fields); i += 2 {
			h[fields[i]] = append(h[fields[i]], fields[i+1])
		}
		return h
	}
	sent := f.of("POST", "/v1/messages", header())
	for name, h := range map[string]http.Header{
		"framing":                 header("Content-Length", "2", "Transfer-Encoding", "chunked"),
		"the connection's fields": header("Connection", "close, X-Hop", "X-Hop", "1"),
		"what we drop":            header("Via", "1.1 x", "X-Forwarded-For", "10.0.0.1", "Tailscale-User-Login", "x"),
		"traces":                  header("Traceparent", "1", "X-Envoy-Attempt-Count", "1"),
		"an empty field":          header("X-Empty", ""),
		"no User-Agent":           header("User-Agent", ""),
	} {
		if f.of("POST", "/v1/messages", h) != sent {
			t.Errorf("%s: a hop that changes it cannot be recognized", name)
		}
	}
	if list := (http.Header{"Authorization": {"Bearer x"}, "Accept": {"a,b"}}); f.of("POST", "/v1/messages", list) != sent {
		t.Error("a list in one field")
	}
	for name, other := range map[string]uint64{
		"method": f.of("GET", "/v1/messages", header()),
		"query":  f.of("POST", "/v1/messages?x", header()),
		"field":  f.of("POST", "/v1/messages", header("X-Session", "1")),
		"value":  f.of("POST", "/v1/messages", header("Accept", "c")),
		"key":    newLoops().prints.of("POST", "/v1/messages", header()),
	} {
		if other == sent {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
}
