package config

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"oauth-proxyd/internal/term"
)

// maxCAFile is how large a file of certificates may be, in bytes. That of a system has a quarter of
// it.
const maxCAFile = 1 << 20

// caFile binds the path of a file of certificates, or nothing. The file is read here, once, so that
// the certificates in force are those that were checked.
func caFile(name string, p *Proxy) attribute {
	a := path(name, &p.UpstreamCAFile, "/etc/oauth-proxyd/ca.pem", "")
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

// loadCertificates returns the certificates of a file that can be used, in PEM, of which there must
// be one, and names the others.
func loadCertificates(path string) (usable []byte, remarks []string, faults []fault) {
	hint := "name a PEM file of certificates to trust that the daemon's user can read"
	content, err := readFile(path, maxCAFile)
	if err != nil {
		return nil, nil, []fault{{summary: "cannot read " + quote(path) + ": " + reason(err).Error(), hint: hint}}
	}
	if len(content) > maxCAFile {
		return nil, nil, []fault{{summary: quote(path) + " is larger than " + spellSize(maxCAFile), hint: hint}}
	}
	usable, remarks = parseCertificates(content, time.Now())
	if len(usable) > 0 {
		return usable, remarks, nil
	}
	if _, err := x509.ParseCertificate(content); err == nil {
		hint = "it is in DER: convert it with openssl x509 -inform der -in FILE -out FILE.pem"
	}
	faults = []fault{{summary: quote(path) + " holds no certificate that can be used", hint: hint}}
	for _, remark := range remarks {
		faults = append(faults, fault{summary: remark})
	}
	return nil, nil, faults
}

// maxRemarks is how many certificates are named. An outdated bundle may have hundreds that have
// expired.
const maxRemarks = 20

// parseCertificates looks at each certificate on its own, because [x509.CertPool] drops those that
// it cannot use without a word. The usable ones are encoded again, so that no reader drops one.
func parseCertificates(content []byte, now time.Time) (usable []byte, remarks []string) {
	blocks := pemBlocks(content)
	for i, b := range blocks {
		der, why := b.decode()
		subject, used := "", false
		if why == "" {
			subject, why, used = judge(der, now)
		}
		if used {
			usable = append(usable, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der})...)
		}
		if why != "" {
			remarks = append(remarks, remark(fmt.Sprintf("certificate %d of %d, line %d", i+1, len(blocks), b.line), subject, why, used))
		}
	}
	if more := len(remarks) - maxRemarks; more > 0 {
		remarks = append(remarks[:maxRemarks], fmt.Sprintf("and %d more", more))
	}
	return usable, remarks
}

func remark(where, subject, why string, used bool) string {
	if subject != "" {
		where += ", subject " + quote(subject)
	}
	if !used {
		where += ": not used"
	}
	return where + ": " + why
}

// judge returns the subject of a certificate, what is wrong with it, if anything, and whether it
// can be used in spite of that.
func judge(der []byte, now time.Time) (subject, why string, usable bool) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return subjectOf(der), term.Cut(term.Clean(strings.TrimPrefix(err.Error(), "x509: ")), 100), false
	}
	subject, why = c.Subject.String(), unusable(c)
	switch {
	case why != "":
		return subject, why, false
	case now.After(c.NotAfter):
		why = "it expired on " + c.NotAfter.UTC().Format(time.DateOnly)
	case now.Before(c.NotBefore):
		why = "it is not valid before " + c.NotBefore.UTC().Format(time.DateOnly)
	case !signs(c):
		why = "it is not a CA: only a server with this very certificate is trusted"
	}
	return subject, why, true
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

// signs reports whether the key of a certificate may sign others (RFC 5280, sections 4.2.1.3 and
// 4.2.1.9).
func signs(c *x509.Certificate) bool {
	isCA := c.IsCA || c.Version < 3 && !c.BasicConstraintsValid
	return isCA && (c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0)
}

// subjectOf returns the subject of a certificate that cannot be parsed, if that part of it can (RFC
// 5280, section 4.1).
func subjectOf(der []byte) string {
	var certificate struct {
		Signed struct {
			Version                             asn1.RawValue `asn1:"optional,explicit,tag:0"`
			Serial, Algorithm, Issuer, Validity asn1.RawValue
			Subject                             pkix.RDNSequence
		}
	}
	_, _ = asn1.Unmarshal(der, &certificate) // an error leaves in it what was read
	return certificate.Signed.Subject.String()
}

const certificateBlock = "CERTIFICATE"

// pemBlock is a part of a file that is meant as a PEM block (RFC 7468).
type pemBlock struct {
	text []byte
	line int // on which it begins, from 1
}

// pemBlocks splits a file at each BEGIN line, and at each END line without one. It also finds
// blocks that [pem.Decode] passes over: indented, after a byte order mark, on the line of the END
// before, with a dash missing, or cut off.
func pemBlocks(content []byte) []pemBlock {
	var blocks []pemBlock
	line, last, open := 1, 0, false
	marker := regexp.MustCompile(`(?m)(?:^[ \t\x{feff}]*|-----)(-{2,5} ?(BEGIN|END) )`)
	for _, at := range marker.FindAllSubmatchIndex(content, -1) {
		start, begins := at[2], content[at[4]] == 'B'
		if begins || !open {
			line += bytes.Count(content[last:start], []byte("\n"))
			blocks = append(blocks, pemBlock{text: content[start:], line: line})
			last = start
		}
		open = begins
	}
	for i := range len(blocks) - 1 {
		blocks[i].text = blocks[i].text[:len(blocks[i].text)-len(blocks[i+1].text)]
	}
	return blocks
}

// decode returns the content of a block, or why it is not a certificate.
func (b pemBlock) decode() (der []byte, why string) {
	block, _ := pem.Decode(regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAll(b.text, nil))
	switch {
	case block != nil && block.Type == certificateBlock:
		return block.Bytes, ""
	case block != nil:
		return nil, "a block of the type " + quote(block.Type) + ", not " + quote(certificateBlock)
	case !bytes.Contains(b.text, []byte("BEGIN ")):
		return nil, "the block has no BEGIN line"
	case !bytes.Contains(b.text, []byte("-END ")):
		return nil, "the block has no END line"
	default:
		return nil, "not a PEM block: what is between BEGIN and END is not base64, or the two lines differ"
	}
}
