package config

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// certificates is what a file of them holds.
type certificates struct {
	usable  []byte // PEM, encoded again, so that whoever reads it drops none
	remarks []remark
	count   int // of the blocks in the file, usable or not
}

// remark is what somebody should know of one certificate.
type remark struct {
	number  int // from 1
	line    int // on which it begins, from 1
	subject string
	why     string
	used    bool // all the same
}

// maxRemarks is how many certificates are named. A bundle out of date may have hundreds.
const maxRemarks = 20

// say names each certificate with a remark: where it is, whose it is, and why.
func (c certificates) say() []string {
	var all []string
	for _, r := range c.remarks {
		if len(all) == maxRemarks {
			return append(all, fmt.Sprintf("and %d more", len(c.remarks)-maxRemarks))
		}
		where := fmt.Sprintf("certificate %d of %d, line %d", r.number, c.count, r.line)
		if r.subject != "" {
			where += ", subject " + quote(r.subject)
		}
		if !r.used {
			where += ": not used"
		}
		all = append(all, where+": "+r.why)
	}
	return all
}

func (c certificates) warnings(name string) []string {
	all := c.say()
	for i, s := range all {
		all[i] = name + ": " + s
	}
	return all
}

// parseCertificates looks at each certificate by itself. [x509.CertPool] drops what it
// cannot use, and says nothing.
func parseCertificates(content []byte, now time.Time) certificates {
	blocks := pemBlocks(content)
	c := certificates{count: len(blocks)}
	for i, b := range blocks {
		r := remark{number: i + 1, line: b.line}
		der, why := b.decode()
		if why == "" {
			r.subject, why, r.used = judge(der, now)
		}
		if r.why = why; why != "" {
			c.remarks = append(c.remarks, r)
		}
		if r.used {
			c.usable = append(c.usable, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der})...)
		}
	}
	return c
}

// judge says whose certificate it is, what is wrong with it, if anything, and whether
// anything can be trusted by it all the same.
func judge(der []byte, now time.Time) (subject, why string, usable bool) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return subjectOf(der), shorten(printable(strings.TrimPrefix(err.Error(), "x509: ")), 100), false
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
		why = "it is not a CA: only a server that has this very certificate is trusted by it"
	}
	return subject, why, true
}

// unusable is why nothing that package x509 verifies can rest on a certificate.
func unusable(c *x509.Certificate) string {
	server := func(u x509.ExtKeyUsage) bool { return u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny }
	switch {
	case c.PublicKeyAlgorithm == x509.UnknownPublicKeyAlgorithm || c.PublicKeyAlgorithm == x509.DSA:
		return "its kind of key is not supported"
	case len(c.UnhandledCriticalExtensions) > 0:
		return "it has a critical extension that is not supported: " + c.UnhandledCriticalExtensions[0].String()
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !slices.ContainsFunc(c.ExtKeyUsage, server):
		return "it is not for servers, by its extended key usage"
	}
	return ""
}

// signs reports whether other certificates may be signed with the key of this one (RFC
// 5280, sections 4.2.1.3 and 4.2.1.9).
func signs(c *x509.Certificate) bool {
	isCA := c.IsCA || c.Version < 3 && !c.BasicConstraintsValid
	return isCA && (c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0)
}

// subjectOf is the subject of a certificate that cannot be parsed as a whole, if that of
// it can (RFC 5280, section 4.1).
func subjectOf(der []byte) string {
	var certificate struct {
		Signed struct {
			Version                             asn1.RawValue `asn1:"optional,explicit,tag:0"`
			Serial, Algorithm, Issuer, Validity asn1.RawValue
			Subject                             pkix.RDNSequence
		}
	}
	_, _ = asn1.Unmarshal(der, &certificate) // what was read of it counts
	return certificate.Signed.Subject.String()
}

// isDER reports whether a file is a certificate without PEM around it.
func isDER(content []byte) bool {
	_, err := x509.ParseCertificate(content)
	return err == nil
}

const (
	certificateBlock = "CERTIFICATE"
	noEnd            = "the block has no END line"
)

// pemBlock is a part of a file that means to be a PEM block (RFC 7468).
type pemBlock struct {
	line   int
	text   []byte
	broken string // why it cannot be one
}

// decode gives what is in the block, or why it is no certificate.
func (b pemBlock) decode() (der []byte, broken string) {
	if b.broken != "" {
		return nil, b.broken
	}
	block, _ := pem.Decode(b.text)
	switch {
	case block == nil:
		return nil, "not a PEM block: what is between BEGIN and END is not base64, or the two lines differ"
	case block.Type != certificateBlock:
		return nil, "a block of the type " + quote(block.Type) + ", not " + strconv.Quote(certificateBlock) + ""
	}
	return block.Bytes, ""
}

// pemBlocks finds every block of a file, those among them that [pem.Decode] would pass
// over: indented, after a byte order mark, on the line of the END before, or cut off.
func pemBlocks(content []byte) []pemBlock {
	var s pemScanner
	number := 0
	for line := range bytes.Lines(content) {
		number++
		text := bytes.Trim(line, " \t\r\n\ufeff")
		end, begin := text, []byte(nil)
		if i := bytes.Index(text, []byte("-----BEGIN ")); i > 0 && isMarker(text, "END ") {
			end, begin = text[:i], text[i:]
		}
		s.line(number, end)
		if begin != nil {
			s.line(number, begin)
		}
	}
	s.finish(noEnd)
	return s.blocks
}

type pemScanner struct {
	blocks []pemBlock
	open   *pemBlock // nil between blocks, where text is a comment
}

func (s *pemScanner) line(number int, text []byte) {
	begins, ends := isMarker(text, "BEGIN "), isMarker(text, "END ")
	switch {
	case begins:
		s.finish(noEnd)
		s.open = &pemBlock{line: number}
	case ends && s.open == nil:
		s.open = &pemBlock{line: number}
		s.finish("the block has no BEGIN line")
	}
	if s.open == nil {
		return
	}
	s.open.text = append(append(s.open.text, text...), '\n')
	if ends {
		s.finish("")
	}
}

// finish ends the block that is open, if any.
func (s *pemScanner) finish(broken string) {
	if s.open == nil {
		return
	}
	s.open.broken = broken
	s.blocks = append(s.blocks, *s.open)
	s.open = nil
}

// isMarker reports whether a line means to begin or end a block, also one with a dash
// too few.
func isMarker(line []byte, word string) bool {
	return bytes.HasPrefix(line, []byte("--")) && bytes.HasPrefix(bytes.TrimLeft(line, "- "), []byte(word))
}
