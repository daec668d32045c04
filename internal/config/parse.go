package config

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// parse turns the source into HCL's native syntax tree. ok is false where
// there is nothing to decode.
func (d *decoder) parse() (body *hclsyntax.Body, ok bool) {
	if bytes.HasPrefix(bytes.TrimSpace(d.src), []byte("{")) {
		d.find(d.start(), "", "this looks like JSON", "the file is HCL: proxy { … } with name = value lines in it, see oauth-proxyd.hcl(5)")
		return nil, false
	}
	src, ok := d.bounded()
	if !ok {
		return nil, false
	}
	file, diags := hclsyntax.ParseConfig(src, d.filename, hcl.InitialPos)
	d.syntaxErrors(diags)
	body, ok = file.Body.(*hclsyntax.Body)
	return body, ok && body != nil
}

func (d *decoder) start() hcl.Range {
	return hcl.Range{Filename: d.filename, Start: hcl.InitialPos, End: hcl.InitialPos}
}

// syntaxErrors reports what the parser found, some of it in other words. A
// quote that is not closed makes an error of each line that follows: the
// first one stands for all.
func (d *decoder) syntaxErrors(diags hcl.Diagnostics) {
	unclosed := false
	for _, diag := range diags {
		if d.full() {
			return
		}
		switch diag.Summary {
		case "Invalid multi-line string", "Unterminated template string":
			if unclosed {
				continue
			}
			unclosed = true
			diag.Summary, diag.Detail = "the quote is not closed on this line", `add the missing "; a line break in a value is written \n`
		case "Invalid expression":
			diag.Summary, diag.Detail = "there is no value here", "a value is text in quotes, a number, true, false, or a list in [ ]"
		}
		d.syntax(diag)
	}
}

func (d *decoder) syntax(diag *hcl.Diagnostic) {
	at := d.start()
	if diag.Subject != nil {
		at = *diag.Subject
	}
	summary, hint := lower(diag.Summary), lower(diag.Detail)
	if example, ok := d.unquoted(at); ok {
		summary, hint = "a value with a unit needs quotes", "write "+example
	}
	d.findings = append(d.findings, finding{at: at, summary: summary, hint: hint, syntax: true})
}

// dropEchoes drops what was found in the remains of a line that could not be
// parsed.
func (d *decoder) dropEchoes() {
	broken := map[int]bool{}
	for _, f := range d.findings {
		if f.syntax {
			broken[f.at.Start.Line] = true
		}
	}
	d.findings = slices.DeleteFunc(d.findings, func(f finding) bool {
		return !f.syntax && f.origin == "" && broken[f.at.Start.Line]
	})
}

// unquoted recognizes `5s` and `512MiB` written without quotes, of which the
// parser says only that a line break is missing after the number.
func (d *decoder) unquoted(at hcl.Range) (example string, ok bool) {
	line, offset := d.line(at.Start.Byte)
	name, value, found := strings.Cut(line, "=")
	value = strings.TrimSpace(value)
	if !found || offset <= len(name) || !regexp.MustCompile(`^[0-9.]+[A-Za-z]+$`).MatchString(value) {
		return "", false
	}
	return quote(value), true
}

// line gives the line of the source that holds the byte at offset, and where
// in the line that is.
func (d *decoder) line(offset int) (line string, within int) {
	offset = min(max(offset, 0), len(d.src))
	start := bytes.LastIndexByte(d.src[:offset], '\n') + 1
	rest := d.src[start:]
	if end := bytes.IndexByte(rest, '\n'); end >= 0 {
		rest = rest[:end]
	}
	text := strings.TrimSuffix(string(rest), "\r")
	return text, min(offset-start, len(text))
}
