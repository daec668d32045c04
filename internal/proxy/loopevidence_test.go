package proxy

import (
	"net/http"
	"net/netip"
	"testing"
)

// sentFrom is a request that a peer sent to us, and we to another host of a private network.
func sentFrom(remote string) *sentRequest {
	return &sentRequest{
		came: arrival{
			local: netip.MustParseAddrPort("10.0.0.1:8080"), remote: netip.MustParseAddrPort(remote + ":4000"),
			host: "ours:8080", version: 1, names: "host\nx-api-key\naccept\n", length: 10,
		},
		host: "gateway.example.com",
		from: netip.MustParseAddrPort("10.0.0.1:5000"), to: netip.MustParseAddrPort("10.0.0.2:80"),
	}
}

// again is the same request as it comes in once more.
func again(s *sentRequest, changes ...func(*arrival)) *arrival {
	a := s.came
	a.remote = netip.AddrPortFrom(a.remote.Addr(), 4001)
	for _, change := range changes {
		change(&a)
	}
	return &a
}

func TestLoopEvidence(t *testing.T) {
	t.Parallel()
	type change = func(*arrival)
	from := func(addr string) change {
		return func(a *arrival) { a.remote = netip.MustParseAddrPort(addr + ":4001") }
	}
	ourConnection := func(a *arrival) {
		a.local, a.remote = netip.MustParseAddrPort("10.0.0.2:80"), netip.MustParseAddrPort("10.0.0.1:5000")
	}
	older := func(a *arrival) { a.version = 0 }
	sorted := func(a *arrival) { a.names = "Accept\nHost\nX-Api-Key\n" }
	spelled := func(a *arrival) { a.names = "Host\nX-Api-Key\nAccept\n" }
	traced := func(a *arrival) {
		a.names = "host\nconnection\nx-api-key\nexpect\ntraceparent\naccept\ncontent-length\n"
	}
	unknown := func(a *arrival) { a.names = "" }
	forwarded := func(a *arrival) {
		a.names += "Forwarded\n"
		a.proxied = true
	}
	hosted := func(a *arrival) { a.host = "gateway.example.com" }
	otherName := func(a *arrival) { a.host = "10.0.0.1:8080" }
	otherBody := func(a *arrival) { a.length = 11 }
	noLength := func(a *arrival) { a.length = -1 }
	for _, c := range []struct {
		name    string
		changed bool
		changes []change
		want    error
	}{
		{"a duplicate", false, nil, nil},
		{"a duplicate whose names are not known", false, []change{unknown}, nil},
		{"a duplicate with fields of the connection and a trace", false, []change{traced}, nil},
		{"another machine with the same program and key", false, []change{from("10.0.0.8")}, nil},
		{"another machine that uses our other name", false, []change{from("10.0.0.8"), otherName}, nil},
		{"another machine through another proxy", false, []change{from("10.0.0.8"), older, sorted}, nil},
		{"another machine whose program adds itself what our rules add", true, []change{from("10.0.0.8")}, nil},
		{"another body", true, []change{from("10.0.0.2"), otherBody}, nil},
		{"our own connection", false, []change{ourConnection}, errOwnConnection},
		{"the upstream's host", false, []change{from("10.0.0.2")}, errSentAgain},
		{"the upstream's host, without a length", false, []change{from("10.0.0.2"), noLength}, errSentAgain},
		{"the upstream's host, in another order", false, []change{from("10.0.0.2"), sorted}, errSentAgain},
		{"the upstream's host, in another spelling", false, []change{from("10.0.0.2"), spelled}, errSentAgain},
		{"the upstream's host, with a header of a proxy", false, []change{from("10.0.0.2"), forwarded}, errSentAgain},
		{"the upstream's host, with what our rules changed", true, []change{from("10.0.0.2")}, errSentAgain},
		{"a third host, with what our rules changed", true, []change{from("10.0.0.8"), sorted}, errSentAgain},
		{"a third host that keeps the Host, likewise", true, []change{from("10.0.0.8"), hosted}, errSentAgain},
	} {
		s := sentFrom("10.0.0.7")
		s.changed = c.changed
		if got := s.evidence(again(s, c.changes...)); got != c.want { //nolint:errorlint // it is one of these
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	s := sentFrom("10.0.0.2")
	if got := s.evidence(again(s)); got != nil {
		t.Errorf("duplicates of a client on the upstream's host: %v", got)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	l := newLoops()
	request := func(method, target string) *http.Request { return &http.Request{Method: method, RequestURI: target} }
	message := request("POST", "/v1/messages")
	header := func(fields ...string) http.Header {
		h := http.Header{"Authorization": {"Bearer x"}, "Accept": {"a", "b"}}
		for i := 0; i < len(fields); i += 2 {
			h[fields[i]] = append(h[fields[i]], fields[i+1])
		}
		return h
	}
	sent := l.fingerprint(message, header(), "X-Person")
	for name, h := range map[string]http.Header{
		"framing":                 header("Content-Length", "2", "Transfer-Encoding", "chunked"),
		"the connection's fields": header("Connection", "close, X-Hop", "X-Hop", "1"),
		"what we drop":            header("Via", "1.1 x", "X-Forwarded-For", "10.0.0.1", "Tailscale-User-Login", "x", "X-Person", "a"),
		"traces":                  header("Traceparent", "1", "X-Envoy-Attempt-Count", "1"),
		"an empty field":          header("X-Empty", ""),
		"no User-Agent":           header("User-Agent", ""),
	} {
		if l.fingerprint(message, h, "X-Person") != sent {
			t.Errorf("%s: a hop that changes it cannot be recognized", name)
		}
	}
	if list := (http.Header{"Authorization": {"Bearer x"}, "Accept": {"a,b"}}); l.fingerprint(message, list, "X-Person") != sent {
		t.Error("a list in one field")
	}
	for name, other := range map[string]uint64{
		"method": l.fingerprint(request("GET", "/v1/messages"), header(), "X-Person"),
		"query":  l.fingerprint(request("POST", "/v1/messages?x"), header(), "X-Person"),
		"field":  l.fingerprint(message, header("X-Session", "1"), "X-Person"),
		"value":  l.fingerprint(message, header("Accept", "c"), "X-Person"),
		"key":    newLoops().fingerprint(message, header(), "X-Person"),
	} {
		if other == sent {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
}
