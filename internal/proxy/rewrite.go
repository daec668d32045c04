package proxy

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/inbound"
)

// rewrite makes the request that the upstream gets: the client's without what concerns only the
// connection to us, and with the operator's rules applied.
func (x *exchange) rewrite() *http.Request {
	header := x.in.Header.Clone()
	subject := subjectOf(x.in, x.conn)
	dropPrivate(header, x.cfg.Identity.Header)
	for _, rule := range x.cfg.rules {
		result := apply(rule.Header, header, subject)
		rule.results[result].Inc()
		x.rec.rule(rule.name, result)
	}
	keepUserAgent(header)
	var coding []string
	if x.in.ContentLength < 0 {
		// Left to itself, net/http waits 200 ms for a body of a GET or DELETE, and drops the
		// trailers of an empty one.
		coding = []string{"chunked"}
	}
	upstream := x.cfg.Proxy.UpstreamURL
	return &http.Request{
		Method:        x.in.Method,
		URL:           target(upstream, x.in),
		Host:          upstream.Host,
		Header:        header,
		ContentLength: x.in.ContentLength, TransferEncoding: coding,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

func subjectOf(in *http.Request, c *inbound.Conn) ruleSubject {
	return ruleSubject{
		bearer:    bearerToken(in.Header),
		path:      rawPath(in),
		userAgent: in.Header.Get("User-Agent"),
		listener:  c.Listener,
	}
}

// Rewritten is the header that the upstream would get with r under the rules in force. Nothing is
// sent and nothing counted.
func (p *Proxy) Rewritten(r *http.Request) http.Header {
	header, cfg := r.Header.Clone(), p.current.Load()
	dropPrivate(header, cfg.Identity.Header)
	for _, rule := range cfg.Headers {
		apply(rule, header, subjectOf(r, inbound.ConnOf(r)))
	}
	return header
}

// keepUserAgent keeps net/http from adding its own, and over HTTP/1.1 from dropping an empty one,
// or all but the first: it leaves alone what is not under the canonical name.
func keepUserAgent(h http.Header) {
	if agents := h["User-Agent"]; len(agents) != 1 || agents[0] == "" {
		if len(agents) > 0 {
			h["user-agent"] = agents
		}
		h["User-Agent"] = []string{""}
	}
}

// dropPrivate deletes what is for this hop only (RFC 9110 §7.6.1) and what says who sent it: only
// we know that, and nobody else should.
func dropPrivate(h http.Header, personHeader string) {
	trailers := acceptsTrailers(h)
	for _, name := range listedIn(h["Connection"]) {
		delete(h, name)
	}
	for name := range h {
		if isHopByHop(name) || access.NamesOrigin(name, personHeader) {
			delete(h, name)
		}
	}
	if trailers {
		h["Te"] = []string{"trailers"}
	}
}

// listedIn are the canonical names that a Connection header lists.
func listedIn(connection []string) (names []string) {
	for _, line := range connection {
		for name := range strings.SplitSeq(line, ",") {
			names = append(names, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	return names
}

// publicTrailer is the client's trailer without what dropPrivate would drop of a header, and
// without a field about framing, which comes too late in one.
func publicTrailer(trailer http.Header, personHeader string) http.Header {
	public := make(http.Header, len(trailer))
	for name, values := range trailer {
		if mayTrail(name) && !access.NamesOrigin(name, personHeader) {
			public[name] = values
		}
	}
	return public
}

// mayTrail: what concerns this hop only, and framing, is not for a trailer (RFC 9110 §6.5.1). It
// wants a canonical name.
func mayTrail(name string) bool { return !isHopByHop(name) && name != "Content-Length" }

func acceptsTrailers(h http.Header) bool {
	for _, line := range h["Te"] {
		for coding := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(coding), "trailers") {
				return true
			}
		}
	}
	return false
}

// isHopByHop wants a canonical name.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// target is the upstream's URL with the client's path and query in the very bytes in which they
// came. url.URL would clean and encode most paths; which of its fields leave them alone depends on
// the path:
//
//	the client sent    fields                      on the wire
//	/a%2Fb  //a  *     Path, RawPath               the same
//	/{a}|b             Opaque                      the same
//	//{a}              Opaque "//upstream//{a}"    over HTTP/2 the same, over HTTP/1.1
//	                                               "http://upstream//{a}", the same resource
//	                                               (RFC 9112 §3.2.2)
//
// RawPath counts where it is a valid encoding of Path, and Opaque "//{a}" would be a host.
func target(upstream *url.URL, in *http.Request) *url.URL {
	path, query, hasQuery := strings.Cut(originForm(in.Method, in.RequestURI), "?")
	u := &url.URL{Scheme: upstream.Scheme, Host: upstream.Host, RawQuery: query, ForceQuery: hasQuery}
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = plain, path
		if u.EscapedPath() == path {
			return u
		}
	}
	u.Path, u.RawPath, u.Opaque = "", "", path
	if strings.HasPrefix(path, "//") {
		u.Opaque = "//" + upstream.Host + path
	}
	return u
}

// originForm cuts the scheme and authority off an absolute-form target (RFC 9112 §3.2.2), and gives
// "" for what is neither that nor a path. "OPTIONS http://host" asks about the server, as "OPTIONS
// *" does (§3.2.4).
func originForm(method, requestTarget string) string {
	if strings.HasPrefix(requestTarget, "/") || requestTarget == "*" && method == http.MethodOptions {
		return requestTarget
	}
	_, rest, ok := strings.Cut(requestTarget, "://")
	if !ok {
		return ""
	}
	switch i := strings.IndexAny(rest, "/?"); {
	case i < 0 && method == http.MethodOptions:
		return "*"
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	default:
		return rest[i:]
	}
}

// rawPath is the path in the bytes in which it came.
func rawPath(r *http.Request) string {
	path, _, _ := strings.Cut(originForm(r.Method, r.RequestURI), "?")
	return path
}

// bearerToken is the credential of a bearer Authorization (RFC 6750 §2.1), to look at its first
// letters only.
func bearerToken(h http.Header) string {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}
