package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"oauth-proxyd/internal/upstream"
)

// Names of the checks on the way to the upstream.
const (
	stepDNS   = "upstream dns"
	stepTCP   = "upstream tcp"
	stepProxy = "upstream proxy"
	stepTLS   = "upstream tls"
	stepHTTP  = "upstream http"
)

// checkUpstream sends one plain request without a credential to the upstream, over the same
// connections as the daemon and through each of its proxies, and times the steps.
func checkUpstream(ctx context.Context, x *exam) []Finding {
	if x.settings == nil {
		return []Finding{unknown("not tried: the configuration says where it is")}
	}
	all := ways(upstream.From(x.settings.Proxy))
	var running sync.WaitGroup
	for _, w := range all {
		running.Go(func() { w.travel(ctx, "oauth-proxyd-doctor/"+x.Version) })
	}
	running.Wait()
	used := slices.IndexFunc(all, (*way).connected)
	var findings []Finding
	for i, w := range all {
		switch {
		case used < 0 || i == used:
			findings = append(findings, x.judgeWay(ctx, w)...)
		case w.connected():
			findings = append(findings, at(stepProxy, ok("%s can be used too", w.proxy.Host)))
		default:
			findings = append(findings, x.judgeSpare(w, all[used]))
		}
	}
	return append(findings, x.keptProxy(all, used)...)
}

// keptProxy tells if the running daemon uses another proxy than one that starts now would: it
// keeps one that works.
func (x *exam) keptProxy(all []*way, used int) []Finding {
	if x.daemon == nil || x.daemon.Upstream.Since == nil || used < 0 || all[used].proxy == nil {
		return nil
	}
	kept := x.daemon.Upstream.Proxy
	if kept == "" || kept == all[used].proxy.Host {
		return nil
	}
	return []Finding{at(stepProxy, ok("the daemon uses %s since %s, and keeps it while it works",
		kept, x.daemon.Upstream.Since.UTC().Format("2006-01-02 15:04 MST")))}
}

// judgeWay says what each step came to, and which one failed.
func (x *exam) judgeWay(ctx context.Context, w *way) []Finding {
	findings := judgeServers(w)
	for _, s := range w.observed() {
		if f, worth := x.judgeStep(w, s); worth {
			findings = append(findings, f)
		}
	}
	if w.err != nil {
		return append(findings, x.wayFailed(w))
	}
	findings = append(findings, judgeFamilies(ctx, w)...)
	return append(findings, x.judgeResponse(w.response, w.took))
}

// judgeStep is about a step that succeeded; the rest is in the error of the whole.
func (x *exam) judgeStep(w *way, s upstream.Step) (f Finding, worth bool) {
	took := milliseconds(s.Took)
	switch {
	case s.Err != nil, s.Part == upstream.StepName && isLiteral(s.To):
		return f, false
	case s.Part == upstream.StepName:
		return at(stepDNS, ok("%s is %s in %s", s.To, joinAddresses(w.addresses()), took)), true
	case s.Part == upstream.StepAddress:
		return at(stepTCP, ok("connected to %s in %s", s.To, took)), true
	case s.Part == upstream.StepTunnel:
		return at(stepProxy, ok("%s opened a tunnel to %s in %s", s.To, w.config.URL.Host, took)), true
	}
	return at(stepTLS, ok("%s %s%s in %s", tls.VersionName(s.TLS.Version), s.TLS.NegotiatedProtocol, x.privateIssuer(s.TLS), took)), true
}

// judgeSpare is about a proxy that the daemon passes over.
func (x *exam) judgeSpare(w, used *way) Finding {
	f := x.wayFailed(w)
	return at(stepProxy, warn("%s; %s is used", f.Seen, used.proxy.Host).mend(f.Mend...))
}

// wayFailed is about the step that was not done.
func (x *exam) wayFailed(w *way) Finding {
	part := w.stop()
	f := fail("%s", oneLine(plain(w.err)))
	curl := "curl -v " + w.config.URL.String()
	if w.proxy != nil {
		curl = "curl -v --proxy " + w.proxy.String() + " " + w.config.URL.String()
	}
	switch part {
	case upstream.StepName:
		return noName(w, f)
	case upstream.StepAddress:
		return at(stepTCP, f.mend(append(x.unreachable(w), curl)...))
	case upstream.StepTunnel:
		return at(stepProxy, f.mend(append(noTunnel(w), curl)...))
	case upstream.StepHandshake:
		return at(stepTLS, x.judgeCertificate(w, f))
	}
	return at(stepHTTP, f.mend(curl))
}

// unreachable is what to do about an address that nothing connects to.
func (x *exam) unreachable(w *way) []string {
	refused := errors.Is(w.err, syscall.ECONNREFUSED)
	switch {
	case w.proxy != nil && refused:
		return []string{"proxy.upstream_proxy in " + x.File + ": is the proxy running there, and is this its port?"}
	case w.proxy != nil:
		return []string{"look for a firewall between this host and the proxy " + w.proxy.Host, "proxy.upstream_proxy in " + x.File + ": is this the proxy?"}
	case refused:
		return []string{"proxy.upstream_url in " + x.File + ": is the upstream running there?"}
	}
	return []string{"look for a firewall between this host and the internet, or set proxy.upstream_proxy in " + x.File}
}

// noTunnel is what to do about a proxy that is there and does not connect to the upstream.
func noTunnel(w *way) []string {
	target := w.config.URL.Host
	switch refusal(w.err) {
	case 0:
		return []string{"is " + w.proxy.Host + " an HTTP proxy, and is " + w.proxy.Scheme + ":// what it speaks?"}
	case http.StatusProxyAuthRequired:
		return []string{"have the proxy " + w.proxy.Host + " admit this host by its address: oauth-proxyd has no password for it"}
	case http.StatusForbidden, http.StatusMethodNotAllowed:
		return []string{"have the proxy " + w.proxy.Host + " allow this host CONNECT to " + target}
	}
	return []string{"have the proxy " + w.proxy.Host + " connect to " + target + ": see its log"}
}

// judgeResponse: without a credential the API refuses, which is all that is asked of it.
func (x *exam) judgeResponse(response *http.Response, took time.Duration) Finding {
	text := fmt.Sprintf("GET /v1/models without a credential: %s in %s", response.Status, milliseconds(took))
	var f Finding
	switch code := response.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusNotFound, code < 300:
		f = ok("%s, as it should be", text)
	case code < 400:
		f = fail("%s, a redirect to %s: this is not the API", text, redirectHost(response)).mend("proxy.upstream_url in " + x.File)
	case code == http.StatusForbidden:
		f = warn("%s: the upstream, or something before it, refuses this host", text).mend("is its address one that Anthropic serves? https://www.anthropic.com/supported-countries")
	case code >= 500:
		f = warn("%s: the upstream has a problem of its own", text).mend("https://status.anthropic.com")
	default:
		f = warn("%s", text).mend("curl -v " + x.settings.Proxy.UpstreamURL.String())
	}
	return at(stepHTTP, f)
}

func redirectHost(response *http.Response) string {
	if u, err := response.Location(); err == nil {
		return u.Host
	}
	return "nowhere"
}

// plain is an error without the layers that repeat the URL.
func plain(err error) error {
	if wrapped, is := errors.AsType[*url.Error](err); is {
		err = wrapped.Err
	}
	if dns, is := errors.AsType[*net.DNSError](err); is {
		return errors.New(dns.Err + ": " + strings.TrimSuffix(dns.Name, "."))
	}
	return err
}

// oneLine joins the lines of an error that has several causes.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
