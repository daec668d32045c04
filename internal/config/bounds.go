package config

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The bounds on the shape of a file. They are far above what a configuration needs,
// and keep the time that any file takes under a second.
const (
	maxLine     = 16 << 10 // bytes; every line with an error is searched for credentials
	maxTokens   = 30_000   // names, values, signs and line ends
	maxDepth    = 100      // brackets within brackets
	maxOdd      = 1000     // tokens that are more than names, values and what parts them
	maxElements = 1000     // of a list
	maxRules    = 1000     // for headers; two configurations are compared rule by rule
	maxFindings = 100      // that are shown
)

// The longest number in the file, in characters, and the longest exponent in it, in
// digits. A number such as 1e99999999 is short, and takes minutes to print.
const (
	maxNumber   = 40
	maxExponent = 3
)

// bounded is the source as it can be given to the parser, which works out numbers and
// calls itself for each bracket. It goes by lines and tokens alone. ok is false where
// the shape of the file is refused.
func (d *decoder) bounded() (src []byte, ok bool) {
	if !d.linesWithinBounds() {
		return nil, false
	}
	tokens, _ := hclsyntax.LexConfig(d.src, d.filename, hcl.InitialPos)
	if len(tokens) > maxTokens {
		d.find(tokens[maxTokens].Range, "", "the file has more than "+strconv.Itoa(maxTokens)+" names, values and signs", "is it the right file?")
		return nil, false
	}
	if at, deep := tooDeep(tokens); deep {
		d.find(at, "", "the file is nested too deeply, or calculates too much", "write the values themselves")
		return nil, false
	}
	return d.withoutHugeNumbers(tokens), true
}

func (d *decoder) linesWithinBounds() bool {
	at := hcl.InitialPos
	for line := range bytes.Lines(d.src) {
		if len(line) > maxLine {
			d.find(hcl.Range{Filename: d.filename, Start: at, End: at}, "",
				"the line is longer than "+spellSize(maxLine), "break it: a list may have a line for each entry")
			return false
		}
		at.Line++
		at.Byte += len(line)
	}
	return true
}

// withoutHugeNumbers reports each number that is out of all bounds, and gives the source
// with a 0 in its place, so that the other errors of the file show too.
func (d *decoder) withoutHugeNumbers(tokens hclsyntax.Tokens) []byte {
	src := bytes.Clone(d.src)
	for _, token := range tokens {
		if token.Type != hclsyntax.TokenNumberLit || isModest(string(token.Bytes)) {
			continue
		}
		at := token.Range
		copy(src[at.Start.Byte:], "0"+strings.Repeat(" ", len(token.Bytes)-1))
		d.findings = append(d.findings, finding{
			at: at, syntax: true,
			summary: "the number is out of all bounds", hint: "no setting takes more than " + strconv.Itoa(maxRequests),
		})
	}
	return src
}

// isModest reports whether a number can be worked out and printed in no time.
func isModest(number string) bool {
	exponent := ""
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		exponent = strings.TrimLeft(number[i+1:], "+-")
	}
	return len(number) <= maxNumber && len(exponent) <= maxExponent
}

// tooDeep finds what would have the parser call itself without end: it recurs on
// brackets and on operators, and a Go stack that overflows cannot be caught.
func tooDeep(tokens hclsyntax.Tokens) (at hcl.Range, deep bool) {
	depth, odd := 0, 0
	for _, token := range tokens {
		switch token.Type {
		case hclsyntax.TokenOBrace:
			depth++
		case hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
			odd++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			depth--
		default:
			if !isPlain(token.Type) {
				odd++
			}
		}
		if depth > maxDepth || odd > maxOdd {
			return token.Range, true
		}
	}
	return hcl.Range{}, false
}

// isPlain reports whether a token is one of which a file may have any number:
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

// tooManyRules finds the first rule for a header that is one too many.
func tooManyRules(body *hclsyntax.Body) (at hcl.Range, many bool) {
	rules := 0
	for _, block := range body.Blocks {
		if block.Type == "header" {
			rules++
		}
		if rules > maxRules {
			return block.TypeRange, true
		}
	}
	return hcl.Range{}, false
}
