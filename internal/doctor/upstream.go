package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"oauth-proxyd/internal/config"
)

// checkUpstream sends one plain request without a credential to the upstream, as the
// daemon would connect, and times its steps.
func checkUpstream(ctx context.Context, x *exam) []Finding {
	if x.settings == nil {
		return []Finding{unknown("not tried: the configuration says where it is")}
	}
	c := x.settings.Proxy
	transport := upstreamTransport(c)
	defer transport.CloseIdleConnections()
	steps := &steps{}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, steps.trace()),
		http.MethodGet, c.UpstreamURL.JoinPath("/v1/models").String(), http.NoBody)
	if err != nil {
		return []Finding{fail("%v", err)}
	}
	request.Header.Set("User-Agent", "oauth-proxyd-doctor/"+x.Version)
	request.Header.Set("Anthropic-Version", "2023-06-01")
	began := time.Now()
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return append(steps.findings(), x.upstreamFailed(steps, err))
	}
	defer answer.Body.Close()
	return append(steps.findings(), x.judgeAnswer(answer, time.Since(began)))
}

// upstreamTransport connects as the proxy does: system roots and the configured ones,
// the configured proxy, no other.
func upstreamTransport(c config.Proxy) *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: c.ConnectTimeout}).DialContext,
		TLSHandshakeTimeout: c.ConnectTimeout, ForceAttemptHTTP2: true, DisableKeepAlives: true, DisableCompression: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if p := firstProxy(c); p != nil {
		t.Proxy = http.ProxyURL(p)
	}
	if len(c.UpstreamCAs) == 0 {
		return t
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(c.UpstreamCAs)
	t.TLSClientConfig.RootCAs = pool
	return t
}

// firstProxy is the proxy that is tried first; nil: there is none.
func firstProxy(c config.Proxy) *url.URL {
	if len(c.UpstreamProxies) == 0 {
		return nil
	}
	return c.UpstreamProxies[0]
}

// steps are the parts of the way that were done, in order.
type steps struct {
	mu    sync.Mutex
	began map[string]time.Time
	done  []Finding
	last  string // the one under way, or failed
}

func (s *steps) begin(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began == nil {
		s.began = make(map[string]time.Time)
	}
	s.began[name], s.last = time.Now(), name
}

// end notes a step that went well; a failed one shows as the last begun.
func (s *steps) end(name, what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || s.isDone(name) { // of two addresses tried at once the first counts
		return
	}
	f := ok("%s in %s", what, milliseconds(time.Since(s.began[name])))
	f.Check = name
	s.done = append(s.done, f)
}

func (s *steps) findings() []Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Finding(nil), s.done...)
}

// failed is the step that was not done.
func (s *steps) failed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDone(s.last) {
		return stepHTTP
	}
	return s.last
}

func (s *steps) isDone(name string) bool {
	return slices.ContainsFunc(s.done, func(f Finding) bool { return f.Check == name })
}

const (
	stepDNS  = "upstream dns"
	stepTCP  = "upstream tcp"
	stepTLS  = "upstream tls"
	stepHTTP = "upstream http"
)

func (s *steps) trace() *httptrace.ClientTrace {
	var host string
	return &httptrace.ClientTrace{
		DNSStart: func(i httptrace.DNSStartInfo) { host = i.Host; s.begin(stepDNS) },
		DNSDone: func(i httptrace.DNSDoneInfo) {
			texts := make([]string, len(i.Addrs))
			for n, a := range i.Addrs {
				texts[n] = a.String()
			}
			s.end(stepDNS, host+" is "+strings.Join(texts, ", "), i.Err)
		},
		ConnectStart:      func(string, string) { s.begin(stepTCP) },
		ConnectDone:       func(_, addr string, err error) { s.end(stepTCP, "connected to "+addr, err) },
		TLSHandshakeStart: func() { s.begin(stepTLS) },
		TLSHandshakeDone: func(c tls.ConnectionState, err error) {
			s.end(stepTLS, tls.VersionName(c.Version)+" "+c.NegotiatedProtocol, err)
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { s.begin(stepHTTP) },
	}
}

func (x *exam) upstreamFailed(s *steps, err error) Finding {
	at := s.failed()
	through := firstProxy(x.settings.Proxy)
	f := fail("%v", plain(err))
	f.Check = at
	if through != nil {
		f.Seen += " (through proxy.upstream_proxy " + through.Host + ")"
	}
	switch at {
	case stepDNS:
		return f.mend("getent hosts "+x.upstreamHost(), "see the nameserver lines of /etc/resolv.conf")
	case stepTCP:
		if errors.Is(err, syscall.ECONNREFUSED) {
			return f.mend("proxy.upstream_url in "+x.File+": is the upstream running there?", "curl -v "+x.settings.Proxy.UpstreamURL.String())
		}
		return f.mend("curl -v "+x.settings.Proxy.UpstreamURL.String(), "look for a firewall between this host and the internet, or set proxy.upstream_proxy")
	case stepTLS:
		return f.mend(mendTLS(err)...)
	}
	return f.mend("curl -v " + x.settings.Proxy.UpstreamURL.String())
}

// mendTLS tells the usual causes apart.
func mendTLS(err error) []string {
	if invalid, is := errors.AsType[x509.CertificateInvalidError](err); is && invalid.Reason == x509.Expired {
		return []string{"timedatectl   # is the clock of this host right?"}
	}
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		return []string{
			"apt-get install ca-certificates   # if the system's are missing",
			"proxy.upstream_ca_file = \"…\"   # the certificate of a proxy that opens TLS",
		}
	}
	return []string{"proxy.upstream_url: is it the name that the certificate is for?"}
}

func (x *exam) upstreamHost() string {
	if p := firstProxy(x.settings.Proxy); p != nil {
		return p.Hostname()
	}
	return x.settings.Proxy.UpstreamURL.Hostname()
}

// judgeAnswer: without a credential the API refuses, which is all that is asked of it.
func (x *exam) judgeAnswer(answer *http.Response, took time.Duration) Finding {
	text := fmt.Sprintf("GET /v1/models without a credential: %s in %s", answer.Status, milliseconds(took))
	var f Finding
	switch code := answer.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusNotFound, code < 300:
		f = ok("%s, as it should be", text)
	case code < 400:
		f = fail("%s, a redirect to %s: this is not the API", text, redirectHost(answer)).mend("proxy.upstream_url in " + x.File)
	case code == http.StatusForbidden:
		f = warn("%s: the upstream, or something before it, refuses this host", text).mend("is its address one that Anthropic serves? https://www.anthropic.com/supported-countries")
	case code >= 500:
		f = warn("%s: the upstream has a problem of its own", text).mend("https://status.anthropic.com")
	default:
		f = warn("%s", text).mend("curl -v " + x.settings.Proxy.UpstreamURL.String())
	}
	f.Check = stepHTTP
	return f
}

func redirectHost(answer *http.Response) string {
	if u, err := answer.Location(); err == nil {
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
