package proxy

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"oauth-proxyd/internal/access"
	"oauth-proxyd/internal/config"
)

// rewrite returns the request for the upstream: the client's, without what concerns only its
// connection to us, and with the header rules applied.
func (x *exchange) rewrite() *http.Request {
	header, results := x.cfg.header(x.in, x.conn.Listener)
	for _, rule := range results {
		x.proxy.metrics.headerRules.WithLabelValues(rule.Header, rule.Result).Inc()
	}
	x.rec.change(func(t *Trace) { t.HeaderRules = results })
	keepUserAgent(header)
	var coding []string
	if x.in.ContentLength < 0 {
		// Otherwise net/http would wait 200 ms for the body of a GET or DELETE, and drop the
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

// header returns the header for the upstream, and what each header rule did to it.
func (s *snapshot) header(in *http.Request, listener string) (http.Header, []RuleTrace) {
	h := in.Header.Clone()
	dropPrivate(h, s.Identity.Header)
	results := make([]RuleTrace, 0, len(s.Headers))
	for _, rule := range s.Headers {
		results = append(results, RuleTrace{strings.ToLower(rule.Name), apply(rule, h, in, listener)})
	}
	return h, results
}

// keepUserAgent makes net/http send the client's User-Agent as it came. net/http writes one
// non-empty User-Agent, or else its own. An empty one disables that; the client's lines go under
// the key user-agent, which net/http copies as is.
func keepUserAgent(h http.Header) {
	if agents := h["User-Agent"]; len(agents) != 1 || agents[0] == "" {
		if len(agents) > 0 {
			h["user-agent"] = agents
		}
		h["User-Agent"] = []string{""}
	}
}

// dropPrivate deletes the fields that are for this hop only, except that a client may accept
// trailers, and those that say who sent the request.
func dropPrivate(h http.Header, personHeader string) {
	trailers := acceptsTrailers(h)
	dropHopByHop(h)
	maps.DeleteFunc(h, func(name string, _ []string) bool { return access.IsForwardedField(name, personHeader) })
	if trailers {
		h["Te"] = []string{"trailers"}
	}
}

// dropHopByHop deletes the fields that are for this hop only, and those that a Connection header
// lists (RFC 9110 §7.6.1).
func dropHopByHop(h http.Header) {
	for _, name := range config.AppendElements(nil, h["Connection"]...) {
		delete(h, http.CanonicalHeaderKey(name))
	}
	maps.DeleteFunc(h, func(name string, _ []string) bool { return isHopByHop(name) })
}

// publicTrailer returns the client's trailer without the fields that dropPrivate would delete, and
// without those about framing.
func publicTrailer(trailer http.Header, personHeader string) http.Header {
	public := make(http.Header, len(trailer))
	for name, values := range trailer {
		if mayTrail(name) && !access.IsForwardedField(name, personHeader) {
			public[name] = values
		}
	}
	return public
}

// mayTrail reports whether a field may be in a trailer: fields for this hop only, and about
// framing, may not (RFC 9110 §6.5.1). name is canonical.
func mayTrail(name string) bool { return !isHopByHop(name) && name != "Content-Length" }

func acceptsTrailers(h http.Header) bool {
	return slices.ContainsFunc(config.AppendElements(nil, h["Te"]...), func(coding string) bool {
		return strings.EqualFold(coding, "trailers")
	})
}

// isHopByHop reports whether a field is for this hop only (RFC 9110 §7.6.1). name is canonical.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// target returns the upstream's URL with the client's path and query, byte for byte. url.URL cleans
// and encodes paths. Which of its fields leaves a path alone depends on the path:
//
//	the client sent    fields                      on the wire
//	/a%2Fb  //a  *     Path, RawPath               the same
//	/{a}|b             Opaque                      the same
//	//{a}              Opaque "//upstream//{a}"    over HTTP/2 the same, over HTTP/1.1
//	                                               "http://upstream//{a}", the same resource
//	                                               (RFC 9112 §3.2.2)
//
// url.URL uses RawPath only if it is a valid encoding of Path, and takes Opaque "//{a}" for a host.
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

// originForm returns a request target without the scheme and authority of an absolute form (RFC
// 9112 §3.2.2), or "" for what is neither that nor a path. "OPTIONS http://host" asks about the
// server, as "OPTIONS *" does (§3.2.4).
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

// rawPath returns the path, byte for byte.
func rawPath(r *http.Request) string {
	path, _, _ := strings.Cut(originForm(r.Method, r.RequestURI), "?")
	return path
}

// bearerToken returns the token of a bearer Authorization (RFC 6750 §2.1). Only its prefix may be
// looked at.
func bearerToken(h http.Header) string {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}
