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
	"os"
	"slices"
	"strings"
	"syscall"

	"oauth-proxyd/internal/term"
	"oauth-proxyd/internal/upstream"
)

// checkEgress says which resolver, proxy and exit node requests to the upstream use.
func checkEgress(_ context.Context, x *facts) []Finding {
	parts := []string{"resolver " + resolvers(), "no proxy", "no exit node"}
	if name := x.environmentProxy(); name != "" {
		parts[1] += " (" + name + " is ignored)"
	}
	if x.settings != nil && len(x.settings.Proxy.UpstreamProxies) > 0 {
		var hosts []string
		for _, p := range x.settings.Proxy.UpstreamProxies {
			hosts = append(hosts, p.Host)
		}
		parts[1] = "proxy " + strings.Join(hosts, ", then ")
	}
	if x.prefs == nil || x.prefs.ExitNode == "" {
		return []Finding{ok("%s", strings.Join(parts, ", "))}
	}
	name := x.prefs.ExitNode
	if n, found := x.find(name); found {
		name = n.Node
	}
	parts[2] = "exit node " + name
	return []Finding{warn("%s: requests to the upstream leave through that node", strings.Join(parts, ", ")).
		fix("tailscale set --exit-node=   # unless this is intended")}
}

// ignoredProxy says that the environment names a proxy for other programs, unless the configuration
// has one. The environment is this command's and, if this user may see it, the daemon's.
func (x *facts) ignoredProxy(a *attempt) []string {
	name := x.environmentProxy()
	if a.proxy != nil || name == "" {
		return nil
	}
	return []string{name + " is set in the environment, and oauth-proxyd ignores it: set proxy.upstream_proxy in " + x.File + ", if other programs on this host need a proxy"}
}

// environmentProxy returns the name of the variable with the proxy of other programs, or "". Its
// value may have a password.
func (x *facts) environmentProxy() string {
	environment := append(os.Environ(), strings.Split(procText(x.pid(), "environ"), "\x00")...)
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		if value != "" && strings.EqualFold(name, "https_proxy") {
			return name
		}
	}
	return ""
}

// resolvers returns the name servers of resolv.conf(5).
func resolvers() string {
	content, _ := os.ReadFile("/etc/resolv.conf") // without it, 127.0.0.1 is asked
	var all []string
	for line := range strings.Lines(string(content)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "nameserver" {
			all = append(all, words[1])
		}
	}
	if len(all) == 0 {
		return "127.0.0.1 (none is configured)"
	}
	return strings.Join(all, ", ")
}

// Names of the checks of the path to the upstream.
const (
	stepDNS   = "upstream dns"
	stepTCP   = "upstream tcp"
	stepProxy = "upstream proxy"
	stepTLS   = "upstream tls"
	stepHTTP  = "upstream http"
)

// checkUpstream sends one plain request without a credential to the upstream, on a connection like
// those of the daemon, and times the steps.
func checkUpstream(ctx context.Context, x *facts) []Finding {
	if x.settings == nil {
		return []Finding{unknown("not tried: only the configuration says where it is")}
	}
	a := &attempt{Proxy: x.settings.Proxy}
	a.send(ctx, "oauth-proxyd-doctor/"+x.Version)
	var findings []Finding
	for _, l := range a.lookups {
		findings = append(findings, at(stepDNS, a.nameFinding(l)))
	}
	findings = append(findings, a.reached...)
	if a.connected {
		findings = append(findings, a.proxyFindings()...)
	}
	if a.err != nil {
		return append(findings, x.attemptFailed(a))
	}
	if t := a.response.TLS; t != nil {
		findings = append(findings, at(stepTLS, ok("%s %s, the certificate was issued by %q", tls.VersionName(t.Version), t.NegotiatedProtocol, t.PeerCertificates[0].Issuer)))
	}
	return append(findings, x.responseFinding(a))
}

func (a *attempt) nameFinding(l lookup) Finding {
	isHere := a.err != nil && l.name != "localhost" && slices.ContainsFunc(l.addresses, netip.Addr.IsLoopback)
	if isHere || slices.ContainsFunc(l.addresses, netip.Addr.IsUnspecified) {
		return fail("%s is %s, which is this host: a DNS filter or /etc/hosts blocks it", l.name, joinAddresses(l.addresses)).
			fix("getent hosts "+l.name, "allow the name in the DNS filter, or remove it from /etc/hosts")
	}
	return ok("%s is %s in %s", l.name, joinAddresses(l.addresses), milliseconds(l.took))
}

// proxyFindings says which proxy is used, and which before it were tried in vain.
func (a *attempt) proxyFindings() (findings []Finding) {
	for _, p := range a.UpstreamProxies {
		if p == a.proxy {
			return append(findings, at(stepProxy, ok("%s opened a tunnel to %s", p.Host, a.UpstreamURL.Host)))
		}
		findings = append(findings, at(stepProxy, warn("%s does not lead to %s; %s is used", p.Host, a.UpstreamURL.Host, a.proxy.Host).fix(a.curl("", p))))
	}
	return findings
}

// attemptFailed reports the step that failed.
func (x *facts) attemptFailed(a *attempt) Finding {
	f := fail("%s", plain(a.err))
	curl := a.curl("", a.proxy)
	dns, noName := errors.AsType[*net.DNSError](a.err)
	handshake, noTLS := errors.AsType[*upstream.HandshakeError](a.err)
	switch {
	case noTLS:
		return at(stepTLS, x.certificateFinding(a, f.fix(x.ignoredProxy(a)...), handshake.Silent))
	case noName:
		return at(stepDNS, x.nameFailed(a, dns, f.fix(x.ignoredProxy(a)...)))
	case !a.connected && a.proxy != nil:
		f = f.fix(x.noTunnel(a))
		for _, p := range a.UpstreamProxies {
			f = f.fix(a.curl("", p))
		}
		return at(stepProxy, f)
	case len(a.reached) == 0:
		return at(stepTCP, f.fix(x.ignoredProxy(a)...).fix(x.unreachable(a), curl))
	}
	if errors.Is(a.err, context.DeadlineExceeded) {
		f.Seen = a.UpstreamURL.Host + " accepted the connection, but did not respond in time"
		f = f.fix("proxy.upstream_url in " + x.File + ": is that the API, and does it work?")
	}
	return at(stepHTTP, f.fix(curl))
}

// nameFailed says what to do about a name that does not resolve.
func (x *facts) nameFailed(a *attempt, dns *net.DNSError, f Finding) Finding {
	if dns.IsTimeout && dns.Server != "" {
		server := strings.TrimSuffix(dns.Server, ":53")
		f.Seen = "the name server " + server + " sent no valid response in time"
		return f.fix("dig +tries=1 +time=1 @"+server+" "+a.host()+"   # oauth-proxyd waits for a name server for a second, most programs wait for five",
			"have the name server respond faster, or use another one: /etc/resolv.conf or resolvectl says which")
	}
	return f.fix("getent hosts "+a.host(), "see the nameserver lines of /etc/resolv.conf")
}

// unreachable says what to do about an address that cannot be connected to.
func (x *facts) unreachable(a *attempt) string {
	what := "upstream_url in " + x.File + ": is the upstream"
	if a.proxy != nil {
		what = "upstream_proxy in " + x.File + ": is the proxy"
	}
	if errors.Is(a.err, syscall.ECONNREFUSED) {
		return "proxy." + what + " running there, and is this its port? Or does a firewall here or on the path refuse it? (nft list ruleset)"
	}
	return "ip route get ADDRESS   # is there a route to " + a.host() + ", for IPv6 too? If so, look for a firewall, or set proxy.upstream_proxy in " + x.File
}

// noTunnel says what to do about a proxy that does not connect to the upstream.
func (x *facts) noTunnel(a *attempt) string {
	refused, is := errors.AsType[*upstream.TunnelError](a.err)
	switch {
	case !is && len(a.reached) == 0:
		return x.unreachable(a)
	case !is:
		return "proxy.upstream_proxy in " + x.File + ": is " + a.proxy.Host + " an HTTP proxy that listens without TLS?"
	case refused.Status == http.StatusProxyAuthRequired:
		return "have the proxy " + refused.Proxy + " admit this host by its address: oauth-proxyd sends no password"
	}
	return "have the proxy " + refused.Proxy + " allow this host CONNECT to " + a.UpstreamURL.Host + ", and reach that; its log says why it did not"
}

// responseFinding judges the response. To a request without a credential, the API responds with
// 401, JSON and a request-id. Any other response may come from a portal, a firewall or a proxy.
func (x *facts) responseFinding(a *attempt) Finding {
	code, hasID := a.response.StatusCode, a.response.Header.Get("Request-Id") != ""
	kind, _, _ := mime.ParseMediaType(a.response.Header.Get("Content-Type"))
	text := "GET /v1/models without a credential: " + strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
	took, curl := milliseconds(a.took), a.curl("/v1/models", a.proxy)
	var f Finding
	switch {
	case code == http.StatusUnauthorized && hasID && kind == "application/json":
		f = ok("%s in %s, as expected", text, took)
	case strings.HasPrefix(a.response.Header.Get("Proxy-Status"), "oauth-proxyd; error=proxy_loop_detected"):
		f = fail("%s in %s: the request came back to oauth-proxyd", text, took).
			fix("proxy.upstream_url in "+x.File+": it leads to this daemon again; set it to the API", "oauth-proxyd reload")
	case code >= 300 && code < 400:
		f = fail("%s in %s, a redirect: this is not the API", text, took).
			fix(curl+"   # where does it redirect to?", "proxy.upstream_url in "+x.File+": is that the API?",
				"if it is, a portal of the network redirects this host: log in there, or have its operator admit this host")
	case !hasID, code < 300, code == http.StatusUnauthorized:
		traits := cmp.Or(term.Cut(kind, 60), "no content type") // no text of the sender, which may be secret
		if !hasID {
			traits += ", no request-id"
		}
		f = warn("%s, %s in %s: the API would respond with 401, JSON and a request-id; a login page, a proxy or another program responds in its place", text, traits, took).
			fix(curl+"   # what responds there?",
				"proxy.upstream_url in "+x.File+": is that the API, or a gateway to it?",
				"if it is, the operator of the network must let this host reach "+a.UpstreamURL.Host)
	default:
		f = warn("%s in %s: the upstream has a problem, or refuses this host", text, took).fix(curl, "https://status.anthropic.com")
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
	return term.Unquoted(err.Error())
}
