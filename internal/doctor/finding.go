package doctor

import "fmt"

// Status is the outcome of a check.
type Status string

// The outcomes. Only Fail makes the whole fail; Unknown is for what could not be looked at.
const (
	OK      Status = "ok"
	Warn    Status = "warn"
	Fail    Status = "fail"
	Unknown Status = "unknown"
)

// Finding is what one check came to.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	// Seen is what was seen, one line.
	Seen string `json:"seen"`
	// Fix lists commands, lines of configuration, or steps to do by hand.
	Fix []string `json:"fix,omitempty"`
}

// Report is what came of all checks.
type Report struct {
	// OK: none failed.
	OK       bool      `json:"ok"`
	Findings []Finding `json:"findings"`
	// Aperture and ClaudeCode are configuration to paste, with this node's name; empty when that is
	// not known, or was not asked for.
	Aperture   string `json:"aperture,omitempty"`
	ClaudeCode string `json:"claude_code,omitempty"`
}

func ok(format string, args ...any) Finding { return finding(OK, format, args) }

func warn(format string, args ...any) Finding { return finding(Warn, format, args) }

func fail(format string, args ...any) Finding { return finding(Fail, format, args) }

func unknown(format string, args ...any) Finding { return finding(Unknown, format, args) }

func finding(s Status, format string, args []any) Finding {
	return Finding{Status: s, Seen: fmt.Sprintf(format, args...)}
}

// fix adds how to fix it.
func (f Finding) fix(lines ...string) Finding {
	f.Fix = append(f.Fix, lines...)
	return f
}

// at sets the check of a finding.
func at(check string, f Finding) Finding {
	f.Check = check
	return f
}
