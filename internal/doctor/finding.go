package doctor

import (
	"fmt"
	"strings"
)

// Status is the outcome of a check.
type Status string

// The outcomes. Only Fail makes the report fail. Unknown is for what could not be checked.
const (
	OK      Status = "ok"
	Warn    Status = "warn"
	Fail    Status = "fail"
	Unknown Status = "unknown"
)

// Finding is one result of a check.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	// Seen says in one line what was found.
	Seen string `json:"seen"`
	// Fix lists commands, lines of configuration, or steps to do by hand.
	Fix []string `json:"fix,omitempty"`
}

// Report has the results of all checks.
type Report struct {
	// OK reports that no check failed.
	OK       bool      `json:"ok"`
	Findings []Finding `json:"findings"`
	// Aperture and ClaudeCode are configuration to paste, with this node's name. They are empty if
	// the name is not known, or if nobody asked for them.
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

// fix adds lines that say how to fix it.
func (f Finding) fix(lines ...string) Finding {
	f.Fix = append(f.Fix, lines...)
	return f
}

// commands takes the commands out of a fix like "run `a`, then `b`". Any other fix stays as it is.
func commands(fix string) []string {
	list, isList := strings.CutPrefix(strings.TrimSuffix(fix, " on this host"), "run `")
	list, isWhole := strings.CutSuffix(list, "`")
	if !isList || !isWhole {
		return []string{fix}
	}
	return strings.Split(list, "`, then `")
}

// at sets the check of a finding.
func at(check string, f Finding) Finding {
	f.Check = check
	return f
}
