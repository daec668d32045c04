package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"

	"oauth-proxyd/internal/inbound"
	"oauth-proxyd/internal/term"
	"oauth-proxyd/internal/upstream"
)

// Names of the checks of the path to the upstream.
const (
	stepDNS   = "upstream dns"
	stepTCP   = "upstream tcp"
	stepProxy = "upstream proxy"
	stepTLS   = "upstream tls"
	stepHTTP  = "upstream http"
)

// checkUpstream sends one plain request without a credential to the upstream, through each proxy of
// the configuration, on connections like those of the daemon, and times the steps.
func checkUpstream(ctx context.Context, x *facts) []Finding {
	if x.settings == nil {
		return []Finding{unknown("not tried: only the configuration says where it is")}
	}
	all := attempts(upstream.Config{Proxy: x.settings.Proxy})
	var running sync.WaitGroup
	for _, a := range all {
		running.Go(func() { a.send(ctx, "oauth-proxyd-doctor/"+x.Version) })
	}
	running.Wait()
	used := slices.IndexFunc(all, (*attempt).connected)
	var findings []Finding
	for i, a := range all {
		switch {
		case used < 0 || i == used:
			findings = append(findings, x.attemptFindings(a)...)
		case a.connected():
			findings = append(findings, at(stepProxy, ok("%s works too", a.proxy.Host)))
		default:
			f := x.attemptFailed(a)
			findings = append(findings, at(stepProxy, warn("%s; %s is used", f.Seen, all[used].proxy.Host).fix(f.Fix...)))
		}
	}
	return findings
}

// attemptFindings reports how long each step took, and which one failed.
func (x *facts) attemptFindings(a *attempt) []Finding {
	var findings []Finding
	for _, s := range a.steps {
		if s.Err == nil {
			findings = append(findings, stepFinding(a, s))
		}
	}
	if a.err != nil {
		return append(findings, x.attemptFailed(a))
	}
	return append(findings, x.responseFinding(a))
}

func stepFinding(a *attempt, s upstream.Stage) Finding {
	took := milliseconds(s.Took)
	switch s.Part {
	case upstream.StageName:
		here := a.err != nil && s.To != "localhost" && slices.ContainsFunc(s.Addresses, netip.Addr.IsLoopback)
		if here || slices.ContainsFunc(s.Addresses, netip.Addr.IsUnspecified) {
			return at(stepDNS, fail("%s is %s, which is this host: a DNS filter or /etc/hosts blocks it", s.To, joinAddresses(s.Addresses)).
				fix("getent hosts "+s.To, "allow the name in the DNS filter, or remove it from /etc/hosts"))
		}
		return at(stepDNS, ok("%s is %s in %s", s.To, joinAddresses(s.Addresses), took))
	case upstream.StageAddress:
		return at(stepTCP, ok("connected to %s in %s", s.To, took))
	case upstream.StageTunnel:
		return at(stepProxy, ok("%s opened a tunnel to %s in %s", s.To, a.config.UpstreamURL.Host, took))
	}
	return at(stepTLS, ok("%s %s in %s, the certificate was issued by %q", tls.VersionName(s.TLS.Version), s.TLS.NegotiatedProtocol, took, s.TLS.PeerCertificates[0].Issuer))
}

// attemptFailed reports the step that failed.
func (x *facts) attemptFailed(a *attempt) Finding {
	f := fail("%s", plain(a.err))
	curl := a.curl("")
	switch a.failedPart() {
	case upstream.StageName:
		return at(stepDNS, noName(a, f.fix(x.ignoredProxy(a)...)))
	case upstream.StageAddress:
		return at(stepTCP, f.fix(x.ignoredProxy(a)...).fix(x.unreachable(a), curl))
	case upstream.StageTunnel:
		return at(stepProxy, f.fix(x.noTunnel(a), curl))
	case upstream.StageHandshake:
		return at(stepTLS, x.certificateFinding(a, f.fix(x.ignoredProxy(a)...)))
	}
	if errors.Is(a.err, context.DeadlineExceeded) {
		f.Seen = a.config.UpstreamURL.Host + " accepted the connection, but did not respond in time"
		f = f.fix("proxy.upstream_url in " + x.File + ": is that the API, and does it work?")
	}
	if n := a.informational.Load(); n > 0 {
		f.Seen = fmt.Sprintf("%s sent %d informational responses (1xx), but not the final one: %s", a.config.UpstreamURL.Host, n, plain(a.err))
	}
	return at(stepHTTP, f.fix(curl))
}

// noName says what to do about a name that does not resolve. A response that is too long for UDP is
// asked for again over TCP (RFC 7766), which name servers and firewalls may refuse.
func noName(a *attempt, f Finding) Finding {
	dns, is := errors.AsType[*net.DNSError](a.err)
	if is && dns.IsTimeout && dns.Server != "" {
		server := strings.TrimSuffix(dns.Server, ":53")
		f.Seen = "the name server " + server + " sent no valid response in time"
		return f.fix("dig +tries=1 +time=1 @"+server+" "+a.host()+"   # oauth-proxyd waits for a name server for a second, most programs wait for five",
			"have the name server respond faster, or use another one: /etc/resolv.conf or resolvectl says which")
	}
	if is && strings.HasPrefix(dns.Err, "dial tcp ") {
		server, _, _ := net.SplitHostPort(dns.Server)
		f.Seen += "; the response of the name server is too long for UDP, and it does not accept TCP"
		return f.fix(fmt.Sprintf("have the name server %s, or the firewall in front of it, accept TCP port 53", server), "dig +tcp @"+server+" "+a.host())
	}
	if is && strings.Contains(dns.Err, syscall.ENETUNREACH.Error()) {
		return f.fix("ip route   # this host has no route to its name server; is its link up? (ip link)")
	}
	return f.fix("getent hosts "+a.host(), "see the nameserver lines of /etc/resolv.conf")
}

// unreachable says what to do about an address that cannot be connected to.
func (x *facts) unreachable(a *attempt) string {
	if errors.Is(a.err, syscall.ENETUNREACH) || errors.Is(a.err, syscall.EADDRNOTAVAIL) {
		if addresses := a.addresses(); !slices.ContainsFunc(addresses, netip.Addr.Is4) {
			return a.host() + " has only IPv6 addresses, and this host has no route to them (ip -6 route): give it one, or set proxy.upstream_proxy in " + x.File
		}
		return "ip route   # this host has no route to " + a.host()
	}
	const refuses = "? Or does a firewall here or on the path refuse it? (nft list ruleset)"
	if !errors.Is(a.err, syscall.ECONNREFUSED) {
		return "look for a firewall between this host and " + a.host() + ", or set proxy.upstream_proxy in " + x.File
	}
	if a.proxy != nil {
		return "proxy.upstream_proxy in " + x.File + ": is the proxy running there, and is this its port" + refuses
	}
	return "proxy.upstream_url in " + x.File + ": is the upstream running there" + refuses
}

// noTunnel says what to do about a proxy that does not connect to the upstream.
func (x *facts) noTunnel(a *attempt) string {
	refused, is := errors.AsType[*upstream.TunnelError](a.err)
	switch {
	case !is:
		return "proxy.upstream_proxy in " + x.File + ": is " + a.proxy.Host + " an HTTP proxy that listens without TLS?"
	case refused.Status == http.StatusProxyAuthRequired:
		return "have the proxy " + a.proxy.Host + " admit this host by its address: oauth-proxyd sends no password"
	case refused.Status >= http.StatusInternalServerError:
		return "the proxy " + a.proxy.Host + " could not connect to " + a.config.UpstreamURL.Host + ", or has a problem of its own; its log says why"
	}
	return "have the proxy " + a.proxy.Host + " allow this host CONNECT to " + a.config.UpstreamURL.Host + "; its log says why it did not"
}

// responseFinding judges the response. To a request without a credential, the API responds with
// 401, JSON and a request-id. Any other response may come from a portal, a firewall or a proxy.
func (x *facts) responseFinding(a *attempt) Finding {
	code, hasID := a.response.StatusCode, a.response.Header.Get("Request-Id") != ""
	kind, _, _ := mime.ParseMediaType(a.response.Header.Get("Content-Type"))
	text := "GET /v1/models without a credential: " + strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
	took := milliseconds(a.took)
	var f Finding
	switch {
	case code == http.StatusUnauthorized && hasID && kind == "application/json":
		f = ok("%s in %s, as expected", text, took)
	case strings.HasPrefix(a.response.Header.Get("Proxy-Status"), "oauth-proxyd; error=proxy_loop_detected"):
		f = fail("%s in %s: the request came back to oauth-proxyd", text, took).
			fix("proxy.upstream_url in "+x.File+": it leads to this daemon again; set it to the API", "oauth-proxyd reload")
	case code >= 300 && code < 400:
		to, err := a.config.UpstreamURL.Parse(a.response.Header.Get("Location")) // its path may have a token
		if err != nil {
			to = a.config.UpstreamURL
		}
		f = fail("%s in %s, a redirect to %s://%s: this is not the API", text, took, to.Scheme, to.Host).
			fix("proxy.upstream_url in "+x.File+": is that the API?", "if it is, a portal of the network redirects this host: log in there, or have its operator admit this host")
	case !hasID, code < 300, code == http.StatusUnauthorized:
		traits := cmp.Or(term.Cut(kind, 60), "no content type") // no text of the sender, which may be secret
		if !hasID {
			traits += ", no request-id"
		}
		f = warn("%s, %s in %s: the API would respond with 401, JSON and a request-id; a login page, a proxy or another program responds in its place", text, traits, took).
			fix(a.curl("/v1/models")+"   # what responds there?",
				"proxy.upstream_url in "+x.File+": is that the API, or a gateway to it?",
				"if it is, the operator of the network must let this host reach "+a.config.UpstreamURL.Host)
	case code == http.StatusForbidden:
		f = warn("%s in %s: the API refuses this host", text, took).
			fix("is this host, or its exit node, in a country that Anthropic serves? https://www.anthropic.com/supported-countries")
	case code >= 500:
		f = warn("%s in %s: the upstream itself has a problem", text, took).fix("https://status.anthropic.com")
	default:
		f = warn("%s in %s", text, took).fix(a.curl(""))
	}
	return at(stepHTTP, f)
}

// plain returns the text of an error without its URL and without quoted bytes of a peer, which may
// be secret.
func plain(err error) string {
	if wrapped, is := errors.AsType[*url.Error](err); is {
		err = wrapped.Err
	}
	if dns, is := errors.AsType[*net.DNSError](err); is {
		return dns.Err + ": " + strings.TrimSuffix(dns.Name, ".")
	}
	if _, is := errors.AsType[*tls.CertificateVerificationError](err); is {
		return err.Error()
	}
	return inbound.Unquoted(err.Error())
}
