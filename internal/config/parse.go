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
	start := hcl.InitialPos
	tokens, _ := hclsyntax.LexConfig(d.src, d.filename, start)
	if at, deep := tooDeep(tokens); deep {
		d.find(at, "", "the file is nested too deeply, or calculates too much", "write the values themselves")
		return nil, false
	}
	file, diags := hclsyntax.ParseConfig(d.src, d.filename, start)
	d.syntaxErrors(diags)
	body, ok = file.Body.(*hclsyntax.Body)
	return body, ok && body != nil
}

func (d *decoder) start() hcl.Range {
	return hcl.Range{Filename: d.filename, Start: hcl.InitialPos, End: hcl.InitialPos}
}

// tooDeep finds what would have the parser, or the evaluation of what it
// parsed, call itself without end: both recur on brackets and on operators,
// and a Go stack that overflows cannot be caught.
func tooDeep(tokens hclsyntax.Tokens) (at hcl.Range, deep bool) {
	const deepest, most = 100, 1000
	depth, operators := 0, 0
	for _, token := range tokens {
		switch token.Type {
		case hclsyntax.TokenOBrace:
			depth++
		case hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
			operators++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			depth--
		default:
			if !isPlain(token.Type) {
				operators++
			}
		}
		if depth > deepest || operators > most {
			return token.Range, true
		}
	}
	return hcl.Range{}, false
}

// isPlain says whether a token is one of which a file may have any number:
// names, texts, numbers, and what parts them. The lines of a heredoc are not:
// the parser takes a time that grows with their square.
func isPlain(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenIdent, hclsyntax.TokenEqual, hclsyntax.TokenComma, hclsyntax.TokenNewline, hclsyntax.TokenComment,
		hclsyntax.TokenNumberLit, hclsyntax.TokenOQuote, hclsyntax.TokenQuotedLit, hclsyntax.TokenCQuote,
		hclsyntax.TokenOHeredoc, hclsyntax.TokenCHeredoc, hclsyntax.TokenEOF:
		return true
	default:
		return false
	}
}

// syntaxErrors reports what the parser found, some of it in other words. A
// quote that is not closed makes an error of each line that follows: the
// first one stands for all.
func (d *decoder) syntaxErrors(diags hcl.Diagnostics) {
	unclosed := false
	for _, diag := range diags {
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
