package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"oauth-proxyd/internal/term"
)

const (
	maxCAFile        = 1 << 20 // bytes; the file of a system has a quarter of it
	maxRemarks       = 20      // an outdated bundle may have hundreds that have expired
	certificateBlock = "CERTIFICATE"
)

// caFile binds the path of a file of certificates, or nothing. The file is read only here, so that
// the certificates that are used are those that were checked.
func caFile(path string, p *Proxy) attribute {
	a := filePath(path, &p.UpstreamCAFile, "/etc/oauth-proxyd/ca.pem", "")
	setPath := a.set
	a.set = func(v cty.Value) (faults []fault) {
		p.UpstreamCAs, p.warnings = nil, nil
		if faults = setPath(v); len(faults) > 0 || p.UpstreamCAFile == "" {
			return faults
		}
		p.UpstreamCAs, p.warnings, faults = loadCertificates(p.UpstreamCAFile)
		return faults
	}
	return a
}

// loadCertificates returns the usable certificates of a file in PEM, and remarks on the others. A
// file without a usable one is an error.
func loadCertificates(path string) (usable []byte, remarks []string, faults []fault) {
	hint := "name a PEM file of trusted certificates that the daemon's user can read"
	refuse := func(what string) []fault { return []fault{{summary: what, hint: hint}} }
	content, err := readFile(path, maxCAFile)
	if err != nil {
		return nil, nil, refuse("cannot read " + quote(path) + ": " + reason(err).Error())
	}
	if len(content) > maxCAFile {
		return nil, nil, refuse(quote(path) + " is larger than " + spellSize(maxCAFile))
	}
	usable, remarks = parseCertificates(content, time.Now())
	if len(usable) > 0 {
		return usable, remarks, nil
	}
	faults = refuse(quote(path) + " holds no certificate that can be used")
	for _, remark := range remarks {
		faults = append(faults, fault{summary: remark})
	}
	return nil, nil, faults
}

// parseCertificates looks at each certificate on its own, because [x509.CertPool] drops those that
// it cannot use without a word. The usable ones are encoded again, so that no reader drops one. It
// also finds blocks (RFC 7468) that [pem.Decode] passes over: indented, after a byte order mark, on
// the line of the END before, with a dash missing, or cut off.
func parseCertificates(content []byte, now time.Time) (usable []byte, remarks []string) {
	begins := regexp.MustCompile(`(?m)(?:^[ \t\x{feff}]*|-----)(-{2,5} ?BEGIN )`).FindAllSubmatchIndex(content, -1)
	ends := regexp.MustCompile(`(?m)^[ \t]*-{2,5} ?END `).FindAllIndex(content, -1)
	line, last := 1, 0
	for i, at := range begins {
		start, end := at[2], len(content)
		if i+1 < len(begins) {
			end = begins[i+1][2]
		}
		line, last = line+bytes.Count(content[last:start], []byte("\n")), start
		where := fmt.Sprintf("certificate %d of %d, line %d", i+1, len(begins), line)
		c, why := certificate(content[start:end])
		if c != nil {
			where += ", subject " + quote(c.Subject.String())
		}
		switch {
		case why != "":
			remarks = append(remarks, where+": not used: "+why)
			continue
		case now.After(c.NotAfter):
			remarks = append(remarks, where+": it expired on "+c.NotAfter.UTC().Format(time.DateOnly))
		case now.Before(c.NotBefore):
			remarks = append(remarks, where+": it is not valid before "+c.NotBefore.UTC().Format(time.DateOnly))
		}
		usable = append(usable, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: c.Raw})...)
	}
	if n := len(ends) - len(begins); n > 0 {
		remarks = append(remarks, fmt.Sprintf("not used: certificates without a BEGIN line: %d", n))
	}
	if more := len(remarks) - maxRemarks; more > 0 {
		remarks = append(remarks[:maxRemarks], fmt.Sprintf("and %d more", more))
	}
	return usable, remarks
}

// unusable explains why package x509 cannot verify anything with a certificate, or returns "".
func unusable(c *x509.Certificate) string {
	server := func(u x509.ExtKeyUsage) bool { return u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny }
	switch {
	case c.PublicKeyAlgorithm == x509.UnknownPublicKeyAlgorithm || c.PublicKeyAlgorithm == x509.DSA:
		return "its kind of key is not supported"
	case len(c.UnhandledCriticalExtensions) > 0:
		return "it has a critical extension that is not supported: " + c.UnhandledCriticalExtensions[0].String()
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !slices.ContainsFunc(c.ExtKeyUsage, server):
		return "its extended key usage does not include servers"
	}
	return ""
}

// certificate returns the certificate in a block, or nil if it cannot be read, and why it cannot be
// used, or "".
func certificate(text []byte) (c *x509.Certificate, why string) {
	block, _ := pem.Decode(regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAll(text, nil))
	switch {
	case block != nil && block.Type != certificateBlock:
		return nil, "a block of the type " + quote(block.Type) + ", not " + quote(certificateBlock)
	case block == nil:
		return nil, "not a PEM block: its BEGIN or END line is missing or damaged, or what is between them is not base64"
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, term.Cut(term.Clean(strings.TrimPrefix(err.Error(), "x509: ")), 100)
	}
	return c, unusable(c)
}
