package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The bounds on the shape of a file, far above what a configuration needs. Together with the bound
// on its size, they limit time and memory for any file: many brackets would overflow the parser's
// stack, which ends the process. No number is printed: 1e99999999 would take minutes.
const (
	maxSigns  = 2000 // brackets, operators and lines of heredocs, which take stack or time to parse
	maxErrors = 100  // errors that are shown
)

// parse turns the source into the syntax tree of HCL. ok is false where there is nothing to decode.
func (d *decoder) parse() (body *hclsyntax.Body, ok bool) {
	tokens, _ := hclsyntax.LexConfig(d.src, d.filename, hcl.InitialPos)
	if at, many := tooManySigns(tokens); many {
		d.report(at, "the file has more than "+strconv.Itoa(maxSigns)+" brackets and operators", "is it the right file? It cannot contain expressions")
		return nil, false
	}
	file, diags := hclsyntax.ParseConfig(d.src, d.filename, hcl.InitialPos)
	body, ok = file.Body.(*hclsyntax.Body)
	if diags.HasErrors() && (!ok || len(body.Blocks)+len(body.Attributes) == 0) { // otherwise, each line would be an error of its own
		d.report(*diags[0].Subject, "this is not HCL; it may be JSON, YAML, TOML or XML", "HCL is proxy { … } with name = value lines in it, see oauth-proxyd.hcl(5)")
		return nil, false
	}
	d.syntaxErrors(diags)
	return body, ok
}

// tooManySigns returns the first sign beyond maxSigns. A sign is a token for which the parser
// recurses or takes quadratic time: not a name, a text, a number or a separator.
func tooManySigns(tokens hclsyntax.Tokens) (at hcl.Range, many bool) {
	plain := []hclsyntax.TokenType{
		hclsyntax.TokenIdent, hclsyntax.TokenEqual, hclsyntax.TokenComma, hclsyntax.TokenNewline, hclsyntax.TokenComment,
		hclsyntax.TokenNumberLit, hclsyntax.TokenOQuote, hclsyntax.TokenQuotedLit, hclsyntax.TokenCQuote, hclsyntax.TokenEOF,
	}
	signs := slices.DeleteFunc(slices.Clone(tokens), func(t hclsyntax.Token) bool { return slices.Contains(plain, t.Type) })
	if len(signs) <= maxSigns {
		return hcl.Range{}, false
	}
	return signs[maxSigns].Range, true
}

// syntaxErrors reports the parser's errors, some in other words. After a quote that is not closed,
// the parser reports each following line: only the first error is shown.
func (d *decoder) syntaxErrors(diags hcl.Diagnostics) {
	unclosed := false
	for _, diag := range diags {
		if d.full() {
			return
		}
		summary, hint := lower(diag.Summary), lower(diag.Detail)
		switch diag.Summary {
		case "Invalid multi-line string", "Unterminated template string":
			if unclosed {
				continue
			}
			unclosed = true
			summary, hint = "the quote is not closed on this line", `add the missing "; write a line break in a value as \n`
		case "Invalid expression":
			summary, hint = "the value is missing", "write text in quotes, a number, true, false, or a list in [ ]"
		}
		if value, ok := d.unquoted(diag.Subject.Start.Byte); ok {
			if d.unparsed[diag.Subject.Start.Line] { // each curly quote is an error of its own
				continue
			}
			summary, hint = "text needs quotes", "write "+quote(strings.Trim(value, "“”„‘’«»"))
		}
		delete(d.unparsed, diag.Subject.Start.Line) // its own errors are shown
		d.report(*diag.Subject, summary, hint)
		d.unparsed[diag.Subject.Start.Line] = true
	}
}

// lower gives a sentence of the parser the form of our messages: no capital, no full stop, and
// attributes, not arguments.
func lower(sentence string) string {
	sentence = strings.TrimSuffix(strings.TrimSpace(sentence), ".")
	sentence = strings.NewReplacer("Argument", "attribute", "argument", "attribute").Replace(sentence)
	if sentence == "" {
		return ""
	}
	return strings.ToLower(sentence[:1]) + sentence[1:]
}

// unquoted recognizes 5s, 512MiB and http://host without quotes, for which the parser only reports a
// missing line break.
func (d *decoder) unquoted(offset int) (value string, ok bool) {
	line, within := lineAt(string(d.src), offset)
	found := regexp.MustCompile(`=\s*([^"\s()\[\]{}=]*[A-Za-z][^"\s()\[\]{}]*)\s*$`).FindStringSubmatchIndex(line)
	if found == nil || within < found[2] {
		return "", false
	}
	return line[found[2]:found[3]], true
}

// lineAt returns the line that holds the byte at offset, and where in the line that is.
func lineAt(src string, offset int) (line string, within int) {
	offset = min(offset, len(src))
	start := strings.LastIndexByte(src[:offset], '\n') + 1
	line, _, _ = strings.Cut(src[start:], "\n")
	line = strings.TrimSuffix(line, "\r")
	return line, min(offset-start, len(line))
}
