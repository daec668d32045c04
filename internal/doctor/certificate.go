package doctor

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// caFile is where the instructions put the certificate of a proxy that intercepts TLS.
const caFile = "/etc/oauth-proxyd/upstream-ca.pem"

// certificateFinding adds the issuer of the certificate, and what to do, to a finding about a
// failed handshake. silent means that nothing came back in it: the first message from this host
// names the server and may be as large as a packet, and so may the response.
func (x *facts) certificateFinding(a *attempt, f Finding, silent bool) Finding {
	curl := a.curl("", a.proxy)
	invalid, is := errors.AsType[*tls.CertificateVerificationError](a.err)
	switch {
	case silent:
		return f.fix("have the firewall or the proxy on the path admit "+a.UpstreamURL.Hostname()+": one that filters by name drops or closes the connection here, and its log says why",
			"tracepath "+a.host()+"   # or packets over the path's MTU are lost; if a smaller one helps, keep it: ip link set dev DEVICE mtu 1280", curl)
	case !is || len(invalid.UnverifiedCertificates) == 0:
		return f.fix(curl, "proxy.upstream_url in "+x.File+": is this an https server, with TLS 1.2 or 1.3?")
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
	return f.fix(whoseServer+" must issue a valid one", curl)
}

// whoseServer is who can change what the server does.
const whoseServer = "the operator of the upstream, or of a proxy that intercepts TLS,"

// unknownIssuer reports a certificate that no trusted CA has issued, such as that of a proxy that
// intercepts TLS.
func (x *facts) unknownIssuer(a *attempt, chain []*x509.Certificate) Finding {
	if missingRoots() {
		return fail("no root certificates were found on this host, so the certificate of %s, issued by %q, cannot be verified",
			a.UpstreamURL.Host, chain[0].Issuer).fix("install the package ca-certificates")
	}
	trusted := ""
	if file := x.settings.Proxy.UpstreamCAFile; file != "" {
		trusted = " and not in upstream_ca_file " + file
	}
	f := fail("the certificate of %s was issued by %q, which is not one of the system's roots%s: a proxy on the path intercepts TLS, or the upstream has a private CA",
		a.UpstreamURL.Host, chain[0].Issuer, trusted)
	if top := chain[len(chain)-1]; len(chain) > 1 {
		f.Seen += fmt.Sprintf("; the last certificate of the chain belongs to %q", top.Subject)
	}
	if len(chain) == 1 && !bytes.Equal(chain[0].RawIssuer, chain[0].RawSubject) {
		f.Seen += ", or the server does not send its intermediate certificate"
		f = f.fix(a.openssl() + "   # if the issuer of its only certificate is a public CA, " + whoseServer + " must add that CA's certificate; otherwise:")
	}
	f = f.fix(fmt.Sprintf("upstream_ca_file = %q   # in the block proxy of %s", caFile, x.File),
		"get the certificate of that CA, in PEM, from your IT department and save it there")
	if len(chain) > 1 {
		f = f.fix(a.openssl() + "   # or save the last certificate of the chain, if they confirm its fingerprint")
	}
	return f.fix("oauth-proxyd reload")
}

// openssl returns the command that shows the certificates that the server sends.
func (a *attempt) openssl() string {
	command := "openssl s_client -showcerts -connect " + net.JoinHostPort(a.UpstreamURL.Hostname(), cmp.Or(a.UpstreamURL.Port(), "443"))
	if a.proxy != nil {
		command += " -proxy " + a.proxy.Host
	}
	return command + " </dev/null"
}

func missingRoots() bool {
	roots, err := x509.SystemCertPool()
	return err != nil || roots.Equal(x509.NewCertPool())
}
