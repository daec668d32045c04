package proxy

import (
	"net/http"
	"net/netip"
	"testing"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/inbound"
)

// arrived is a request that came to us from a peer.
func arrived(remote string) *exchange {
	return &exchange{
		cfg: &snapshot{},
		in:  &http.Request{ProtoMajor: 1, ProtoMinor: 1, ContentLength: 10, Header: http.Header{"X-Api-Key": {"x"}}},
		conn: &inbound.Conn{Sender: access.Conn{
			Local: netip.MustParseAddrPort("10.0.0.1:8080"), Remote: netip.MustParseAddrPort(remote),
		}},
	}
}

// sentFrom is such a request, which we sent to another host of a private network.
func sentFrom(remote string) *sentRequest {
	return &sentRequest{
		x:    arrived(remote + ":4000"),
		from: netip.MustParseAddrPort("10.0.0.1:5000"), to: netip.MustParseAddrPort("10.0.0.2:80"),
	}
}

func TestLoopEvidence(t *testing.T) {
	t.Parallel()
	type change = func(*exchange)
	from := func(addr string) change {
		return func(x *exchange) { x.conn.Sender.Remote = netip.MustParseAddrPort(addr + ":4001") }
	}
	ourConnection := func(x *exchange) {
		x.conn.Sender.Local, x.conn.Sender.Remote = netip.MustParseAddrPort("10.0.0.2:80"), netip.MustParseAddrPort("10.0.0.1:5000")
	}
	older := func(x *exchange) { x.in.ProtoMinor = 0 }
	traced := func(x *exchange) { x.in.Header["Traceparent"] = []string{"1"} }
	forwarded := func(x *exchange) { x.forwarded = true }
	otherBody := func(x *exchange) { x.in.ContentLength = 11 }
	noLength := func(x *exchange) { x.in.ContentLength = -1 }
	for _, c := range []struct {
		name    string
		changed bool
		changes []change
		want    error
	}{
		{"a duplicate", false, nil, nil},
		{"a duplicate with a trace", false, []change{traced}, nil},
		{"another machine with the same program and key", false, []change{from("10.0.0.8")}, nil},
		{"another machine through another proxy", false, []change{from("10.0.0.8"), older, forwarded}, nil},
		{"another machine whose program adds itself what our rules add", true, []change{from("10.0.0.8")}, nil},
		{"another body", true, []change{from("10.0.0.2"), otherBody}, nil},
		{"our own connection", false, []change{ourConnection}, errOwnConnection},
		{"the upstream's host", false, []change{from("10.0.0.2")}, errSentAgain},
		{"the upstream's host, without a length", false, []change{from("10.0.0.2"), noLength}, errSentAgain},
		{"the upstream's host, with a header of a proxy", false, []change{from("10.0.0.2"), forwarded}, errSentAgain},
		{"the upstream's host, with what our rules changed", true, []change{from("10.0.0.2")}, errSentAgain},
	} {
		s, again := sentFrom("10.0.0.7"), arrived("10.0.0.7:4001")
		s.changed = c.changed
		for _, change := range c.changes {
			change(again)
		}
		if got := s.evidence(again); got != c.want { //nolint:errorlint // it is one of these
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// The upstream's host is also a client, so only another program is evidence.
func TestLoopEvidenceOnTheUpstreamsHost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*exchange)
		want   error
	}{
		"a duplicate":         {func(*exchange) {}, nil},
		"HTTP/1.0":            {func(x *exchange) { x.in.ProtoMinor = 0 }, errSentAgain},
		"a header of a proxy": {func(x *exchange) { x.forwarded = true }, errSentAgain},
		"a probe of doctor":   {func(x *exchange) { x.in.Header[ProbeHeader] = []string{"random"} }, errSentAgain},
	} {
		again := arrived("10.0.0.2:4001")
		c.change(again)
		if got := sentFrom("10.0.0.2").evidence(again); got != c.want { //nolint:errorlint // it is one of these
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
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
