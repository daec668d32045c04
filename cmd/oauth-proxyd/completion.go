package main

import (
	"embed"
	"flag"
	"fmt"
	"strings"
)

// scripts are for bash, zsh and fish. A script runs "oauth-proxyd __complete" for each completion,
// so it never differs from the installed program.
//
//go:embed completion
var scripts embed.FS

func completion(e env, _ *flag.FlagSet) runner {
	return func(shell string) int {
		script, err := scripts.ReadFile("completion/" + shell)
		if err != nil {
			e.failed(fmt.Errorf("completion is for bash, zsh or fish, not %q", shell), `eval "$(oauth-proxyd completion bash)"`)
			return exitUsage
		}
		fmt.Fprintf(e.stdout, "%s", script)
		return exitOK
	}
}

// complete prints the candidates for the last word of a command line, which may be empty: one a
// line, with its meaning after a tab. Without a candidate, the shell completes file names.
func complete(e env, words []string) int {
	word, before := "", words
	if len(words) > 0 {
		word, before = words[len(words)-1], words[:len(words)-1]
	}
	for _, candidate := range candidates(e, before, strings.HasPrefix(word, "-")) {
		if strings.HasPrefix(candidate, word) {
			fmt.Fprintln(e.stdout, candidate)
		}
	}
	return exitOK
}

func candidates(e env, before []string, option bool) (found []string) {
	name := "serve"
	switch {
	case len(before) == 0 && !option:
		for _, c := range commands() {
			found = append(found, c.name+"\t"+c.summary)
		}
		return found
	case len(before) > 0 && !strings.HasPrefix(before[0], "-"):
		name = before[0]
	}
	c, ok := findCommand(name)
	if !ok {
		return nil
	}
	flags, _ := c.options(e)
	value := c.argument
	if len(before) > 0 {
		if f := flags.Lookup(strings.TrimLeft(before[len(before)-1], "-")); f != nil {
			value, _ = flag.UnquoteUsage(f)
		}
	}
	switch {
	case value == "[COMMAND]":
		return commandNames()
	case strings.Contains(value, "|"):
		return strings.Split(value, "|")
	case value != "" && value != c.argument:
		return nil
	}
	flags.VisitAll(func(f *flag.Flag) {
		_, summary := flag.UnquoteUsage(f)
		found = append(found, "--"+f.Name+"\t"+summary)
	})
	return append(found, "--help\tshow the options of this command")
}
