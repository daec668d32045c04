// Command siege attacks oauth-proxyd and writes a table of what each attack did; package siege says
// how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"syscall"

	"oauth-proxyd/internal/lab/siege"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	program := flag.String("program", "bin/oauth-proxyd", "oauth-proxyd")
	unit := flag.String("unit", "packaging/systemd/oauth-proxyd.service", "service unit with its limits")
	report := flag.String("report", "bin/siege.md", "file for the table")
	only := flag.String("only", "", "regular expression for the names of attacks")
	short := flag.Bool("short", false, "less time and smaller numbers, as in the tests")
	check := flag.Bool("check", false, "only say whether the limits can be set here")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	config := siege.Config{Program: *program, Timing: siege.LongTiming()}
	if *short {
		config.Timing = siege.ShortTiming()
	}
	if config.Limits, err = siege.ReadUnit(*unit); err != nil {
		return err
	}
	if err := siege.Confinable(config.Limits); err != nil {
		fmt.Fprintln(os.Stderr, "!!! no control group: the limits of the unit are NOT TESTED:", err)
	} else {
		config.Confined = true
	}
	if *check {
		return nil
	}
	results, err := attackAll(ctx, config, wanted)
	return errors.Join(err, write(*report, results), judge(results))
}

// attackAll goes on to the next attack whatever one did.
func attackAll(ctx context.Context, config siege.Config, wanted *regexp.Regexp) ([]siege.Result, error) {
	var results []siege.Result
	var errs []error
	for _, attack := range append(siege.Attacks(), secondOpinion()...) {
		if !wanted.MatchString(attack.Name) || ctx.Err() != nil {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s, %s: ", attack.Name, attack.Who)
		result, err := siege.Run(ctx, config, attack)
		if err != nil {
			fmt.Fprintln(os.Stderr, "not measured:", err)
			errs = append(errs, fmt.Errorf("%s: %w", attack.Name, err))
			continue
		}
		fmt.Fprintln(os.Stderr, result.Verdict())
		results = append(results, result)
	}
	return results, errors.Join(append(errs, ctx.Err())...)
}

func secondOpinion() []siege.Attack {
	program, err := exec.LookPath("slowhttptest")
	if err != nil {
		fmt.Fprintln(os.Stderr, "!!! MISSING: slowhttptest: there is no second opinion")
		return nil
	}
	return siege.SecondOpinion(program)
}

// write writes the table to a file and to the standard output.
func write(report string, results []siege.Result) error {
	file, err := os.Create(report)
	if err != nil {
		return err
	}
	return errors.Join(siege.WriteTable(file, results), file.Close(), siege.WriteTable(os.Stdout, results))
}

func judge(results []siege.Result) error {
	failed := 0
	for _, r := range results {
		if len(r.Faults()) > 0 {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d attacks broke a promise", failed, len(results))
	}
	return nil
}
