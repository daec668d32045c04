package selftest

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// WriteText writes the report for a person, in lines of at most width characters
// where words allow it. file is the configuration's name.
func (r *Report) WriteText(w io.Writer, file string, width int) error {
	t := text{width: width}
	t.line("", "", "self test of "+file)
	t.line("", "", "The proxy is the real one; the API is a mock on this host. Nothing leaves the host.")
	t.line("", "", "")
	t.line("", "", "What clients sent and the API received: + added, ~ changed, - dropped")
	for _, c := range r.Clients {
		t.client(c)
	}
	t.line("", "", "")
	for _, v := range r.Verdicts {
		t.verdict(v)
	}
	t.line("", "", "")
	t.line("", "", r.summary())
	_, err := io.WriteString(w, t.out.String())
	return err
}

func (r *Report) summary() string {
	counts := make(map[Status]int)
	for _, v := range r.Verdicts {
		counts[v.Status]++
	}
	switch {
	case counts[Fail] > 0:
		return fmt.Sprintf("%d of %d verdicts: FAIL", counts[Fail], len(r.Verdicts))
	case counts[Warn] > 0:
		return fmt.Sprintf("all is well but for %d of %d verdicts: warn", counts[Warn], len(r.Verdicts))
	default:
		return fmt.Sprintf("all %d verdicts: ok", len(r.Verdicts))
	}
}

// text is a report that is being written.
type text struct {
	out   strings.Builder
	width int
}

// line writes s broken at blanks and behind commas: the first line after first,
// the others after rest.
func (t *text) line(first, rest, s string) {
	line, begun := first, false
	for _, word := range words(printable(s)) {
		if begun && utf8.RuneCountInString(line+strings.TrimRight(word, " ")) > t.width {
			t.out.WriteString(strings.TrimRight(line, " ") + "\n")
			line = rest
		}
		line += word
		begun = true
	}
	t.out.WriteString(strings.TrimRight(line, " ") + "\n")
}

func words(s string) []string {
	var all []string
	for s != "" {
		i := strings.IndexAny(s, " ,") + 1
		if i == 0 {
			i = len(s)
		}
		all = append(all, s[:i])
		s = s[i:]
	}
	return all
}

// printable has no control characters, which a header can bring (RFC 9110 §5.5).
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

func (t *text) client(c Client) {
	t.line("", "", "")
	t.line("  ", "    ", fmt.Sprintf("%s, listener %q", c.Name, c.Listener))
	t.line("    ", "      ", fmt.Sprintf("%s %s -> %s", c.Method, c.Target, statusText(c)))
	for _, h := range c.Headers {
		t.header(h)
	}
	for _, r := range c.Rules {
		t.line("    rule  ", "          ", fmt.Sprintf("%s: %s: %s", r.Name, r.Does, r.Result))
	}
}

func statusText(c Client) string {
	if c.Error != "" {
		return c.Error
	}
	if c.Events > 0 {
		return fmt.Sprintf("%d, %d events one by one", c.Status, c.Events)
	}
	return fmt.Sprint(c.Status)
}

func (t *text) header(h Header) {
	const indent = "          "
	switch h.Change {
	case Added:
		t.line("    + ", indent, h.Name+": "+joined(h.Received))
	case Dropped:
		t.line("    - ", indent, h.Name+": "+joined(h.Sent))
	case Changed:
		t.line("    ~ ", indent, h.Name+": "+joined(h.Sent))
		t.line("        -> ", "           ", joined(h.Received))
	default:
		t.line("      ", indent, h.Name+": "+joined(h.Received))
	}
}

// joined shows the lines of a header side by side.
func joined(values []string) string { return strings.Join(values, " | ") }

func (t *text) verdict(v Verdict) {
	const column = 10
	indent := strings.Repeat(" ", column)
	t.line(fmt.Sprintf("%-*s", column, v.Status), indent, v.Name)
	for _, d := range v.Details {
		t.line(indent+"! ", indent+"  ", d)
	}
}
