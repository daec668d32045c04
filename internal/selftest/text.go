package selftest

import (
	"fmt"
	"strings"

	"oauth-proxyd/internal/term"
)

// WriteText prints the report on the configuration file for a person.
func (r *Report) WriteText(p term.Printer, file string) {
	p.Wrap("", 0, "self test of "+file)
	p.Wrap("", 0, "The proxy is the real one; the API is a mock on this host. Nothing leaves the host.")
	p.Line("")
	p.Wrap("", 0, "What clients sent and the API received: + added, ~ changed, - dropped")
	for _, c := range r.Clients {
		c.write(p)
	}
	p.Line("")
	for _, v := range r.Verdicts {
		const column = 10
		p.Wrap(p.Outcome(string(v.Status), column), column, v.Name)
		for _, d := range v.Details {
			p.Wrap(strings.Repeat(" ", column)+"! ", column+2, d)
		}
	}
	p.Line("")
	p.Wrap("", 0, r.summary())
}

func (r *Report) summary() string {
	counts := make(map[Status]int)
	for _, v := range r.Verdicts {
		counts[v.Status]++
	}
	return fmt.Sprintf("%d verdicts: %d ok, %d warn, %d fail", len(r.Verdicts), counts[OK], counts[Warn], counts[Fail])
}

func (c Client) write(p term.Printer) {
	p.Line("")
	p.Wrap("  ", 4, fmt.Sprintf("%s, listener %q", c.Name, c.Listener))
	outcome := fmt.Sprint(c.Status)
	switch {
	case c.Error != "":
		outcome = c.Error
	case c.Events > 0:
		outcome += fmt.Sprintf(", %d events one by one", c.Events)
	}
	p.Wrap("    ", 6, fmt.Sprintf("%s %s -> %s", c.Method, c.Target, outcome))
	for _, h := range c.Headers {
		h.write(p)
	}
	for _, r := range c.Rules {
		p.Wrap("    rule  ", 10, fmt.Sprintf("%s: %s: %s", r.Name, r.Does, r.Result))
	}
}

func (h Header) write(p term.Printer) {
	sent, received := strings.Join(h.Sent, " | "), strings.Join(h.Received, " | ")
	switch {
	case h.Sent == nil:
		p.Wrap("    + ", 10, h.Name+": "+received)
	case h.Received == nil:
		p.Wrap("    - ", 10, h.Name+": "+sent)
	case sent != received:
		p.Wrap("    ~ ", 10, h.Name+": "+sent)
		p.Wrap("        -> ", 11, received)
	default:
		p.Wrap("      ", 10, h.Name+": "+received)
	}
}
