package config

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// caFile binds the path of a file of certificates, or nothing. The file is
// read once, so that a bad one is refused here and not at the first request.
func caFile(name string, field *string) attribute {
	const example = "/etc/oauth-proxyd/ca.pem"
	parse := func(s string) (string, *fault) {
		if s == "" {
			return "", nil
		}
		if !filepath.IsAbs(s) {
			return "", &fault{summary: quote(s) + " is not an absolute path", hint: `begin with a slash: "` + example + `"`}
		}
		if err := checkCertificates(s); err != nil {
			return "", &fault{summary: err.Error(), hint: "a PEM file of the certificates to trust, which the daemon's user can read"}
		}
		return s, nil
	}
	return text(name, example, field, parse, func(s string) string { return s })
}

func checkCertificates(path string) error {
	const largest = 4 << 20
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", quote(path), reason(err))
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", quote(path))
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", quote(path), reason(err))
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, largest+1))
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", quote(path), reason(err))
	}
	if len(content) > largest {
		return fmt.Errorf("%s is larger than %s", quote(path), spellSize(largest))
	}
	if !holdsCertificate(content) {
		return fmt.Errorf("%s holds no certificate", quote(path))
	}
	return nil
}

// holdsCertificate looks for one good certificate. Others are passed over, as
// crypto/x509 does: system bundles hold some that Go cannot read.
func holdsCertificate(content []byte) bool {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			return true
		}
	}
	return false
}
