package doctor

import "fmt"

// Status is the outcome of a check.
type Status string

// The outcomes. Only Fail makes the report fail. Unknown is for what could not be checked.
const (
	OK      Status = "ok"
	Warn    Status = "warn"
	Fail    Status = "fail"
	Unknown Status = "unknown"
)

// Finding is a result of a check.
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

// asRoot is the fix for a check that lacks a right.
const asRoot = "sudo oauth-proxyd doctor   # with the same options"

func at(check string, f Finding) Finding {
	f.Check = check
	return f
}
