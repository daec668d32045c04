package config

import (
	"errors"
	"path/filepath"
	"strconv"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// maxCAFile is how large a file of certificates may be, in bytes. A system's bundle
// has a quarter of it.
const maxCAFile = 1 << 20

// caFile binds the path of a file of certificates, or nothing. The file is read once,
// here: what the upstream is held to is what was checked.
func caFile(name string, p *Proxy) attribute {
	const example = "/etc/oauth-proxyd/ca.pem"
	set := func(v cty.Value) []fault {
		path := v.AsString()
		p.UpstreamCAFile, p.UpstreamCAs, p.warnings = path, nil, nil
		switch {
		case path == "":
			return nil
		case !filepath.IsAbs(path):
			return []fault{{summary: quote(path) + " is not an absolute path", hint: "begin with a slash: " + strconv.Quote(example)}}
		}
		found, faults := loadCertificates(path)
		p.UpstreamCAs, p.warnings = found.usable, found.warnings("proxy."+name)
		return faults
	}
	return attribute{
		name: name,
		want: "a string such as " + strconv.Quote(example),
		kind: cty.String,
		set:  set,
		get:  func() string { return strconv.Quote(p.UpstreamCAFile) },

		content: func() string { return string(p.UpstreamCAs) },
	}
}

// loadCertificates reads a file of which at least one certificate can be used.
func loadCertificates(path string) (found certificates, faults []fault) {
	hint := "a PEM file of the certificates to trust, which the daemon's user can read"
	content, err := readRegular(path, maxCAFile)
	switch {
	case errors.Is(err, errNotRegular):
		return found, []fault{{summary: quote(path) + " is " + err.Error(), hint: hint}}
	case err != nil:
		return found, []fault{{summary: "cannot read " + quote(path) + ": " + reason(err).Error(), hint: hint}}
	case len(content) > maxCAFile:
		return found, []fault{{summary: quote(path) + " is larger than " + spellSize(maxCAFile), hint: hint}}
	}
	found = parseCertificates(content, time.Now())
	if len(found.usable) > 0 {
		return found, nil
	}
	if isDER(content) {
		hint = "it is in DER: convert it with openssl x509 -inform der -in FILE -out FILE.pem"
	}
	if found.count == 0 {
		return found, []fault{{summary: quote(path) + " holds no certificate", hint: hint}}
	}
	faults = []fault{{summary: quote(path) + " holds no certificate that can be used", hint: hint}}
	for _, s := range found.say() {
		faults = append(faults, fault{summary: s})
	}
	return found, faults
}
