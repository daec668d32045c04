// Command bench measures oauth-proxyd beside other proxies; package bench says how.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"oauth-proxyd/internal/lab/bench"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	short := flag.Bool("short", false, "one round: about five minutes")
	file := flag.String("json", "", "write the result to this file, too")
	ours := flag.String("program", "bin/oauth-proxyd", "oauth-proxyd")
	bare := flag.String("bare", "bin/bare", "the bare httputil.ReverseProxy")
	builds := flag.String("builds", "", "other builds of oauth-proxyd to compare with, as NAME=FILE with commas")
	peers := flag.String("peers", "", "names of those to compare with, with commas (default: all)")
	only := flag.String("only", "", "names of measurements, with semicolons (default: all)")
	set := flag.String("set", bench.Usual, "what to measure: usual, growth, slack or together")
	newest := flag.String("newest", "bin/newest", "folder of .ci/bench-newest, if it is there")
	rounds := flag.Int("rounds", 0, "how many (default: as the mode has it)")
	document := flag.String("table", "", "measure nothing: put the table of the result in -json into this document")
	flag.Parse()
	if *document != "" {
		return replaceTable(*document, *file)
	}
	cores, err := bench.Pin()
	if err != nil {
		return err
	}
	c := bench.Config{
		Cores: cores, Pace: bench.Full(), Progress: os.Stderr,
		Set:      *set,
		Programs: bench.Programs{Ours: *ours, Bare: *bare, Newest: *newest},
	}
	if *short {
		c.Pace = bench.Short()
	}
	if *rounds > 0 {
		c.Pace.Rounds = *rounds
	}
	for build := range strings.SplitSeq(*builds, ",") {
		if name, file, ok := strings.Cut(build, "="); ok {
			c.Programs.Others = append(c.Programs.Others, bench.Build{Name: name, File: file})
		}
	}
	if *only != "" {
		c.Only = strings.Split(*only, ";")
	}
	c.Peers = choose(c.Programs, *peers, os.Stderr)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := bench.Run(ctx, c)
	if err != nil {
		return err
	}
	result.Finish()
	return errors.Join(result.Write(os.Stdout), save(*file, result))
}

// choose says which peers take part, and which cannot.
func choose(p bench.Programs, names string, out io.Writer) []bench.Peer {
	found, missing := bench.Peers(p)
	if names == "" {
		for _, name := range missing {
			_, _ = fmt.Fprintf(out, "!!! MISSING: %s: it is left out of the comparison\n", name)
		}
		return found
	}
	wanted := append(strings.Split(names, ","), bench.Ours)
	return slices.DeleteFunc(found, func(p bench.Peer) bool { return !slices.Contains(wanted, p.Name) })
}

func save(file string, result *bench.Result) error {
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// replaceTable renews the table of a document from the file of an earlier run.
func replaceTable(document, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var result bench.Result
	if err := json.Unmarshal(text, &result); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	old, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	renewed, err := result.ReplaceTable(string(old))
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	return os.WriteFile(document, []byte(renewed), 0o644)
}
