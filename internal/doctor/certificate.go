package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/upstream"
)

// caFile is where the instructions put the certificate of a proxy that intercepts TLS.
const caFile = "/etc/oauth-proxyd/upstream-ca.pem"

// certificateFinding adds the issuer of the certificate, and what to do, to a finding about a
// failed handshake.
func (x *facts) certificateFinding(a *attempt, f Finding) Finding {
	invalid, is := errors.AsType[*tls.CertificateVerificationError](a.err)
	if !is || len(invalid.UnverifiedCertificates) == 0 {
		return x.handshakeFinding(a, f)
	}
	chain := invalid.UnverifiedCertificates
	if _, is := errors.AsType[x509.UnknownAuthorityError](invalid.Err); is {
		return x.unknownIssuer(a, chain)
	}
	which, what := chain[0], "the certificate"
	reason, is := errors.AsType[x509.CertificateInvalidError](invalid.Err)
	if is && reason.Cert != nil && !reason.Cert.Equal(which) {
		which, what = reason.Cert, fmt.Sprintf("that is the certificate of %q in its chain, which", reason.Cert.Subject)
	}
	f.Seen += fmt.Sprintf("; %s was issued by %q and is valid from %s to %s",
		what, which.Issuer, which.NotBefore.Format(time.DateOnly), which.NotAfter.Format(time.DateOnly))
	if is && reason.Reason == x509.Expired {
		return f.fix("timedatectl   # is the clock of this host right?",
			"if it is, "+whoseServer+" must renew that certificate")
	}
	if _, is := errors.AsType[x509.HostnameError](invalid.Err); is {
		return f.fix("proxy.upstream_url in " + x.File + ": is that the name in the certificate?")
	}
	if is && reason.Reason == x509.IncompatibleUsage {
		return f.fix(whoseServer + " must issue one for servers: with the extended key usage serverAuth, or with none")
	}
	return f.fix(whoseServer+" must issue a valid one", a.curl(""))
}

// whoseServer is who can change what the server does.
const whoseServer = "the operator of the upstream, or of a proxy that intercepts TLS,"

// handshakeFinding is about a handshake that failed before there was a certificate to verify.
func (x *facts) handshakeFinding(a *attempt, f Finding) Finding {
	if slices.ContainsFunc(a.steps, func(s upstream.Stage) bool { return s.Part == upstream.StageHandshake && s.Silent }) {
		return a.silentFinding(f)
	}
	text := a.err.Error() // package tls has no types for these
	if strings.Contains(text, "tls: protocol version not supported") || strings.Contains(text, "tls: server selected unsupported protocol version") {
		f.Seen += "; the server offers only TLS 1.0 or 1.1, and oauth-proxyd needs 1.2 or later"
		return f.fix(whoseServer+" must turn on TLS 1.2 or 1.3",
			"openssl s_client -connect "+a.tlsAddress()+"   # what does it offer?")
	}
	return f.fix(a.curl(""), "proxy.upstream_url in "+x.File+": is this an https server?")
}

// silentFinding is about a handshake in which nothing came back: the first message from this host
// names the server and may be as large as a packet, and so may the response.
func (a *attempt) silentFinding(f Finding) Finding {
	host, times := a.host(), "drops"
	if !errors.Is(a.err, context.DeadlineExceeded) {
		times = "closes"
	}
	if a.proxy != nil {
		return f.fix("the proxy "+a.proxy.Host+" opened a tunnel to "+a.tlsAddress()+" and passed nothing back: its log says why, and whether it admits that name", a.curl(""))
	}
	f = f.fix("have the firewall on the path admit " + a.config.UpstreamURL.Hostname() + ": one that filters by name " + times + " the connection here")
	if times == "drops" {
		f = f.fix("tracepath " + host + "   # or packets over the path's MTU are lost; if a smaller one helps, keep it: ip link set dev DEVICE mtu 1280")
	}
	return f.fix(a.curl(""))
}

// unknownIssuer reports a certificate that no trusted CA has issued, such as that of a proxy that
// intercepts TLS.
func (x *facts) unknownIssuer(a *attempt, chain []*x509.Certificate) Finding {
	if missingRoots() {
		return fail("no root certificates were found on this host, so the certificate of %s, issued by %q, cannot be verified",
			a.config.UpstreamURL.Host, chain[0].Issuer).fix("install the package ca-certificates")
	}
	trusted := ""
	if file := x.settings.Proxy.UpstreamCAFile; file != "" {
		trusted = " and not in upstream_ca_file " + file
	}
	f := fail("the certificate of %s was issued by %q, which is not one of the system's roots%s: a proxy on the path intercepts TLS, or the upstream has a private CA",
		a.config.UpstreamURL.Host, chain[0].Issuer, trusted)
	if top := chain[len(chain)-1]; len(chain) > 1 {
		f.Seen += fmt.Sprintf("; the last certificate of the chain belongs to %q", top.Subject)
	}
	if len(chain) == 1 && !bytes.Equal(chain[0].RawIssuer, chain[0].RawSubject) {
		f.Seen += ", or the server does not send its intermediate certificate"
		f = f.fix("openssl s_client -connect " + a.tlsAddress() + " -showcerts   # if the issuer of its only certificate is a public CA, " + whoseServer + " must add that CA's certificate; otherwise:")
	}
	f = f.fix(fmt.Sprintf("upstream_ca_file = %q   # in the block proxy of %s", caFile, x.File),
		"get the certificate of that CA, in PEM, from your IT department and save it there")
	if len(chain) > 1 {
		f = f.fix("or save the one from the chain, and use it only if they confirm its fingerprint:", saveTop(a))
	}
	return f.fix("oauth-proxyd reload")
}

// saveTop returns commands that save the last certificate of the chain that the server sends.
func saveTop(a *attempt) string {
	proxy := ""
	if a.proxy != nil {
		proxy = " \\\n  -proxy " + a.proxy.Host
	}
	return fmt.Sprintf(`openssl s_client -showcerts -connect %s \
  -servername %s%s </dev/null |
  awk '/BEGIN CERT/ {c=""} {c=c $0 "\n"}
    /END CERT/ {t=c} END {printf "%%s", t}' \
  >%s
openssl x509 -noout -fingerprint -sha256 \
  -in %[4]s`, a.tlsAddress(), a.config.UpstreamURL.Hostname(), proxy, caFile)
}

// tlsAddress returns the host and the port that the handshake is with.
func (a *attempt) tlsAddress() string {
	if a.config.UpstreamURL.Port() == "" {
		return a.config.UpstreamURL.Host + ":443"
	}
	return a.config.UpstreamURL.Host
}

// missingRoots reports whether the system trusts no certificate at all.
func missingRoots() bool {
	roots, err := x509.SystemCertPool()
	return err != nil || roots.Equal(x509.NewCertPool())
}
