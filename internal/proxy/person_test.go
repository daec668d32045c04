package proxy_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"oauth-proxyd/internal/config"
)

const (
	emailHeader = "X-Claude-Gateway-User-Email"
	emailLine   = emailHeader + ": ann@example.com"
)

// believes has a door take the word of these senders about persons.
func believes(header string, from ...config.Source) func(*setup) {
	return func(s *setup) { s.Identity = config.Gateways{From: from, Header: header} }
}

func gatewayTag() config.Source { return config.Source{Kind: config.Tag, Value: "tag:aperture"} }

// gatewayDoor is a door to which everything comes from a gateway of the tailnet that may name
// persons.
func gatewayDoor(t *testing.T, change ...func(*setup)) *door {
	t.Helper()
	return openDoor(t, newUpstream(t, "http1", tellHeaders), append([]func(*setup){
		between(peerAddr, hostAddr), knows(taggedPeer()), allow(config.Source{Kind: config.Tailnet}), believes(emailHeader, gatewayTag()),
	}, change...)...)
}

// personOf sends lines in a request and gives for whom it was, by the log, and why it was for
// nobody. The upstream must see none of the lines.
func personOf(t *testing.T, d *door, lines ...string) (person, doubt string) {
	t.Helper()
	before := len(d.log.requests(t, 0))
	if saw := sawHeaders(t, d, lines...); len(saw) > 0 {
		t.Errorf("the upstream saw %q", saw)
	}
	var logged struct {
		RequestID string `json:"request_id"`
		Person    string `json:"person"`
	}
	if err := json.Unmarshal([]byte(d.log.requests(t, before+1)[before]), &logged); err != nil {
		t.Fatal(err)
	}
	trace := d.found(t, logged.RequestID)
	if trace.Person != logged.Person {
		t.Errorf("the recorder has %q, the log %q", trace.Person, logged.Person)
	}
	return trace.Person, trace.PersonDoubt
}

func TestGatewayNamesThePerson(t *testing.T) {
	d := gatewayDoor(t)
	const quoted = "it contains a comma, a quote or a backslash, so it may be several values"
	email := func(values ...string) (lines []string) {
		for _, value := range values {
			lines = append(lines, emailHeader+": "+value)
		}
		return lines
	}
	for name, c := range map[string]struct {
		lines         []string
		person, doubt string
	}{
		"one name":              {email("ann@example.com"), "ann@example.com", ""},
		"in small letters":      {[]string{strings.ToLower(emailLine)}, "ann@example.com", ""},
		"with spaces":           {email(" Ann Example\t"), "Ann Example", ""},
		"not in ASCII":          {email("Änn"), "Änn", ""},
		"the same name twice":   {email("ann", "ann"), "ann", ""},
		"as long as allowed":    {email(strings.Repeat("a", 128)), strings.Repeat("a", 128), ""},
		"no header":             {nil, "", ""},
		"only an id":            {[]string{"X-Claude-Gateway-User-Id: 7"}, "", ""},
		"two names":             {email("ann", "bob"), "", "it occurs several times, with different values"},
		"two names in one line": {email("ann,bob"), "", quoted},
		"a quoted name":         {email(`"ann"`), "", quoted},
		"nothing":               {email(""), "", "it is empty"},
		"too long":              {email(strings.Repeat("a", 129)), "", "it is longer than 128 bytes"},
		"text that turns":       {email("ann\u202ebob"), "", "it is not printable text"},
		"a blank of braille":    {email("\u2800"), "", "it is not printable text"},
		"a letter without form": {email("ann\u3164"), "", "it is not printable text"},
		"a filler":              {email("\u115f"), "", "it is not printable text"},
		"of no width":           {email("ann\u200b"), "", "it is not printable text"},
		"a variation":           {email("ann\ufe0f"), "", "it is not printable text"},
		"accents alone":         {email("\u0301\u0308"), "", "it has no letter and no digit"},
		"signs alone":           {email("--"), "", "it has no letter and no digit"},
		"an accent of its own":  {email("Ann\u0301"), "Ann\u0301", ""},
		"not UTF-8":             {email("ann\xff"), "", "it is not printable text"},
		"a token":               {email("sk-ant-oat01-x"), "", "it looks like a credential"},
		"a bearer":              {email("Bearer x"), "", "it looks like a credential"},
	} {
		t.Run(name, func(t *testing.T) {
			person, doubt := personOf(t, d, c.lines...)
			if person != c.person || doubt != c.doubt {
				t.Errorf("person %q, doubt %q; want %q, %q", person, doubt, c.person, c.doubt)
			}
		})
	}
}

// Only the word of those whom identity.from names counts, and only in the header of identity. No
// sender gets that header to the upstream.
func TestNobodyElseNamesAPerson(t *testing.T) {
	const stranger = "identity.from does not name the sender"
	proxied := config.Source{Kind: config.Proxied}
	host := func(s *setup) { between("127.0.0.1:4000", "127.0.0.1:8080")(s); ownedBy(1000)(s) }
	for name, c := range map[string]struct {
		change        []func(*setup)
		line          string
		person, doubt string
	}{
		"another peer":              {[]func(*setup){knows(knownPeer())}, emailLine, "", stranger},
		"nobody is believed":        {[]func(*setup){believes(emailHeader)}, emailLine, "", stranger},
		"another node":              {[]func(*setup){believes(emailHeader, config.Source{Kind: config.Node, Value: "laptop"})}, emailLine, "", stranger},
		"another header":            {[]func(*setup){believes("X-Person", gatewayTag())}, emailLine, "", ""},
		"a header of the operator":  {[]func(*setup){believes("X-Person", gatewayTag())}, "X-Person: ann", "ann", ""},
		"the same of another peer":  {[]func(*setup){believes("X-Person", gatewayTag()), knows(knownPeer())}, "X-Person: ann", "", stranger},
		"a gateway on this host":    {[]func(*setup){host, allow(proxied), believes("X-Person", proxied)}, "X-Person: ann", "ann", ""},
		"one that nobody believes":  {[]func(*setup){host, allow(proxied)}, emailLine, "", stranger},
		"loopback as a range":       {[]func(*setup){host, allow(proxied), believes(emailHeader, config.Source{Kind: config.CIDR, Prefix: netip.MustParsePrefix("127.0.0.0/8")})}, emailLine, "", stranger},
		"a capability of the grant": {[]func(*setup){knows(knownPeer()), believes(emailHeader, config.Source{Kind: config.Capability, Value: "example.com/cap/x"})}, emailLine, "ann@example.com", ""},
	} {
		t.Run(name, func(t *testing.T) {
			person, doubt := personOf(t, gatewayDoor(t, c.change...), c.line)
			if person != c.person || doubt != c.doubt {
				t.Errorf("person %q, doubt %q; want %q, %q", person, doubt, c.person, c.doubt)
			}
		})
	}
}

// A program on this host that names a person is another proxy, whatever the header is called.
func TestPersonHeaderMakesProxied(t *testing.T) {
	d := openDoor(t, newUpstream(t, "http1", tellHeaders), believes("X-Person"))
	r := request(t, http.MethodGet, d.url("/"), nil)
	r.Header.Set("X-Person", "ann")
	if response, body := do(t, newClient(t), r); response.StatusCode != http.StatusForbidden {
		t.Errorf("status %d: %s", response.StatusCode, body)
	}
}

// Only admitted clients can have a name logged.
func TestRefusedGatewayNamesNobody(t *testing.T) {
	d := gatewayDoor(t, allow(config.Source{Kind: config.Local}))
	r := request(t, http.MethodGet, d.url("/"), nil)
	r.Header.Set(emailHeader, "ann")
	do(t, newClient(t), r)
	if line := d.log.requests(t, 1)[0]; strings.Contains(line, "ann") {
		t.Error(line)
	}
}

func TestPersonIsNoTrailer(t *testing.T) {
	saw := make(chan http.Header, 1)
	up := newUpstream(t, "http1", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		saw <- r.Trailer
	})
	r := request(t, http.MethodPost, openDoor(t, up, believes("X-Person")).url("/"), io.MultiReader(strings.NewReader("body")))
	r.Trailer = http.Header{"X-Person": {"ann"}, "X-Sum": {"1"}}
	do(t, newClient(t), r)
	if got := receive(t, saw, "the request"); got["X-Person"] != nil || got.Get("X-Sum") != "1" {
		t.Errorf("the upstream gets the trailers %q", got)
	}
}

func TestPersonIsLoggedAsNamesAre(t *testing.T) {
	for mode, shown := range map[string]string{"hashed": "c0ffee", "none": ""} {
		d := gatewayDoor(t, func(s *setup) { s.LogIdentity = func(string) string { return shown } })
		if person, doubt := personOf(t, d, emailLine); person != shown || doubt != "" {
			t.Errorf("%s: person %q, doubt %q", mode, person, doubt)
		}
		if text := d.log.String(); strings.Contains(text, "ann@") {
			t.Errorf("%s: %s", mode, text)
		}
	}
}

// A reload changes whose word counts, on connections that are open too.
func TestReloadChangesWhoIsBelieved(t *testing.T) {
	d := gatewayDoor(t, believes(emailHeader))
	conn := d.dial(t)
	ask := func() string {
		conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\n"+emailLine+"\r\n\r\n")
		response, _ := conn.response(t, http.MethodGet)
		return d.found(t, response.Header.Get("X-Request-Id")).Person
	}
	before := ask()
	next := d.settings
	next.Identity.From = []config.Source{gatewayTag()}
	apply, err := d.Prepare(next)
	if err != nil {
		t.Fatal(err)
	}
	apply()
	if after := ask(); before != "" || after != "ann@example.com" {
		t.Errorf("%q, then %q", before, after)
	}
}
