package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"slices"
	"strings"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/doctor"
	"oauth-proxyd/internal/term"
)

func runDoctor(e env, flags *flag.FlagSet) runner {
	path := e.configFlag(flags)
	peer := flags.String("peer", "", "check whether the tailnet's policy and access.allow let the node `NAME` in")
	through := flags.String("through", "", "send a probe through the gateway at `URL`, such as http://ai, to the running daemon")
	paste := flags.Bool("paste", false, "print the configuration for Aperture and Claude Code")
	asJSON, client := flags.Bool("json", false, "print JSON"), daemonFlag(flags)
	return func(string) int {
		log.SetOutput(io.Discard) // net/http's client would log bytes of a response
		if err := checkThrough(*through); err != nil {
			e.failed(err, "the URL is that of ANTHROPIC_BASE_URL, such as http://ai")
			return exitUsage
		}
		c := e.doctorConfig(*path, *client)
		c.Peer, c.Through, c.Paste = *peer, *through, *paste
		p := term.NewPrinter(e.stdout)
		if !*asJSON {
			c.Report = func(f doctor.Finding) { showFinding(p, f) }
		}
		report := doctor.Run(context.Background(), c)
		e.show(*asJSON, report, func() {
			p.Line("")
			p.Wrap("", 0, verdict(report.Findings))
		})
		return exitIf(!report.OK, exitFailure)
	}
}

// doctorConfig returns the checks that need no option.
func (e env) doctorConfig(path string, daemon admin.Client) doctor.Config {
	load := func() (*config.Config, error) {
		c, err := e.loadConfig(path)
		if err != nil {
			return nil, err
		}
		if inService, _ := checkInService(path); inService != nil && !inService.Valid {
			return c, fmt.Errorf("only the service refuses the file: %s: %s", inService.Diagnostics[0].Where(), inService.Diagnostics[0].Summary)
		}
		return c, nil
	}
	return doctor.Config{File: path, Daemon: daemon, Load: load, Version: version}
}

func checkThrough(through string) error {
	if through == "" {
		return nil
	}
	u, err := url.Parse(through)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/v1") {
		return errors.New("--through: not an http or https URL of host, port and path without /v1, which clients add on their own")
	}
	return nil
}

// The columns at which the name of a check and its finding begin.
const (
	statusColumn = 9
	checkColumn  = 28
)

// showFinding prints a finding, and how to fix it. The fix is not wrapped, because it may be a
// command to copy.
func showFinding(p term.Printer, f doctor.Finding) {
	name := fmt.Sprintf("%-*s", checkColumn-statusColumn, f.Check)
	p.Wrap(p.Outcome(string(f.Status), statusColumn)+name, checkColumn, f.Seen)
	for _, line := range f.Fix {
		if strings.Contains(line, "\n") {
			p.Verbatim(statusColumn+3, line)
			continue
		}
		p.Line(strings.Repeat(" ", statusColumn) + p.Paint(term.Dim, "-> ") + term.Clean(line))
	}
}

func verdict(findings []doctor.Finding) string {
	counts := make(map[doctor.Status]int)
	for _, f := range findings {
		counts[f.Status]++
	}
	text := fmt.Sprintf("%d checks: %d ok, %d warn, %d fail, %d unknown",
		len(findings), counts[doctor.OK], counts[doctor.Warn], counts[doctor.Fail], counts[doctor.Unknown])
	for _, s := range []doctor.Status{doctor.Fail, doctor.Warn} {
		if i := slices.IndexFunc(findings, func(f doctor.Finding) bool { return f.Status == s }); i >= 0 {
			return text + "; fix first: " + findings[i].Check
		}
	}
	return text
}
