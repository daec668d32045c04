package proxy

import (
	"net/http"
	"net/netip"
	"testing"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
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

// comparing has a rule for Anthropic-Beta and one for User-Agent.
func comparing() *snapshot {
	c := &snapshot{}
	c.Identity.Header = "X-Person"
	c.Headers = []config.Header{{Name: "Anthropic-Beta"}, {Name: "User-Agent"}}
	return c
}

// message returns a request and its header with further fields.
func message(method, target string, fields ...string) (*http.Request, http.Header) {
	h := http.Header{"Authorization": {"Bearer x"}, "Accept": {"a", "b"}, "Anthropic-Beta": {"c", "d"}}
	for i := 0; i < len(fields); i += 2 {
		h[fields[i]] = append(h[fields[i]], fields[i+1])
	}
	return &http.Request{Method: method, RequestURI: target}, h
}

// What a hop may change makes no difference.
func TestSameRequest(t *testing.T) {
	t.Parallel()
	l, c := newLoops(), comparing()
	r, sent := message("POST", "/v1/messages")
	for name, fields := range map[string][]string{
		"framing":                 {"Content-Length", "2", "Transfer-Encoding", "chunked"},
		"the connection's fields": {"Connection", "close, X-Hop", "X-Hop", "1"},
		"what we drop":            {"Via", "1.1 x", "X-Forwarded-For", "10.0.0.1", "Tailscale-User-Login", "x", "X-Person", "a"},
		"traces":                  {"Traceparent", "1", "X-Envoy-Attempt-Count", "1"},
		"an empty field":          {"X-Empty", ""},
		"no User-Agent":           {"User-Agent", ""},
	} {
		if _, h := message("", "", fields...); l.fingerprint(r, h, c) != l.fingerprint(r, sent, c) || !sameHeader(sent, h, c.Identity.Header) {
			t.Errorf("%s: a hop that changes it cannot be recognized", name)
		}
	}
	list := http.Header{"Authorization": {"Bearer x"}, "Accept": {"a,b"}, "Anthropic-Beta": {"c,d"}}
	if l.fingerprint(r, list, c) != l.fingerprint(r, sent, c) || !sameHeader(list, sent, "") {
		t.Error("lists in one field cannot be recognized")
	}
	_, came := message("", "", "User-Agent", "a", "User-Agent", "b")
	_, gone := message("", "", "User-Agent", "a", "User-Agent", "b")
	keepUserAgent(gone)
	if l.fingerprint(r, came, c) != l.fingerprint(r, gone, c) || !sameHeader(came, gone, "") {
		t.Error("two lines of User-Agent cannot be recognized")
	}
}

func TestOtherRequest(t *testing.T) {
	t.Parallel()
	l, c := newLoops(), comparing()
	r, sent := message("POST", "/v1/messages")
	for name, fields := range map[string][]string{"field": {"X-Other", "1"}, "value": {"Accept", "c"}} {
		_, h := message("", "", fields...)
		if sameHeader(sent, h, "") || sameHeader(h, sent, "") {
			t.Errorf("another %s makes no difference", name)
		}
	}
	other := func(l *loops, method, target string, fields ...string) uint64 {
		r, h := message(method, target, fields...)
		return l.fingerprint(r, h, c)
	}
	for name, print := range map[string]uint64{
		"method":     other(l, "GET", "/v1/messages"),
		"query":      other(l, "POST", "/v1/messages?x"),
		"credential": other(l, "POST", "/v1/messages", "X-Api-Key", "x"),
		"session":    other(l, "POST", "/v1/messages", sessionHeader, "x"),
		"rule":       other(l, "POST", "/v1/messages", "Anthropic-Beta", "e"),
		"key":        other(newLoops(), "POST", "/v1/messages"),
	} {
		if print == l.fingerprint(r, sent, c) {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
}
