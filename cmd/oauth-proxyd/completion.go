package main

import (
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// completion writes a script that completes command lines in a shell.
func completion(e env, args []string) int {
	flags := flag.NewFlagSet("completion", flag.ContinueOnError)
	shell := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		shell, args = args[0], args[1:]
	}
	if exit, done := e.parse(flags, "bash|zsh|fish", args); done {
		return exit
	}
	var script func(completed) string
	switch shell {
	case "bash":
		script = bashScript
	case "zsh":
		script = zshScript
	case "fish":
		script = fishScript
	default:
		e.failed(fmt.Errorf("completion is for bash, zsh or fish, not %q", shell), "eval \"$(oauth-proxyd completion bash)\"")
		return exitUsage
	}
	if _, err := io.WriteString(e.stdout, script(completedCommands(e))); err != nil {
		e.failed(fmt.Errorf("writing the script: %w", err), "")
		return exitFailure
	}
	return exitOK
}

// completed is what the scripts know, all of it from the table of commands and
// their options, so that they cannot say anything else than the program.
type completed []completedCommand

type completedCommand struct {
	name, summary string
	words         []string // what its argument may be
	options       []completedOption
}

type completedOption struct {
	name, summary string
	value         string   // what it is called, as in FILE; empty: it takes none
	words         []string // what it may be; empty: anything
}

func completedCommands(e env) completed {
	var all completed
	for _, c := range commands() {
		all = append(all, completedCommand{
			name: c.name, summary: c.summary, words: argumentWords(c.synopsis), options: optionsOf(e, c),
		})
	}
	return all
}

// names are those of all commands.
func (c completed) names() []string {
	names := make([]string, len(c))
	for i, command := range c {
		names[i] = command.name
	}
	return names
}

// serve is the command that is meant when none is given.
func (c completed) serve() completedCommand {
	return c[slices.IndexFunc(c, func(command completedCommand) bool { return command.name == "serve" })]
}

// optionsOf has the command say them, which does nothing else then.
func optionsOf(e env, c command) []completedOption {
	var options []completedOption
	describe := func(flags *flag.FlagSet) {
		flags.VisitAll(func(f *flag.Flag) {
			value, summary := flag.UnquoteUsage(f)
			options = append(options, completedOption{f.Name, summary, value, choices(summary)})
		})
	}
	c.run(env{stdout: io.Discard, stderr: io.Discard, getenv: e.getenv, describe: describe}, nil)
	return append(options, completedOption{name: "help", summary: "show the options of this command"})
}

// choices are the words of a text such as "LEVEL: debug, info, warn or error".
func choices(summary string) []string {
	_, list, found := strings.Cut(summary, ": ")
	if !found || !regexp.MustCompile(`^\w+(, \w+)* or \w+$`).MatchString(list) {
		return nil
	}
	return strings.Split(strings.ReplaceAll(list, " or ", ", "), ", ")
}

// argumentWords are those of a synopsis such as "bash|zsh|fish" or "[COMMAND]".
func argumentWords(synopsis string) []string {
	switch {
	case synopsis == "[COMMAND]":
		var names []string
		for _, c := range commands() {
			names = append(names, c.name)
		}
		return names
	case strings.Contains(synopsis, "|") && !strings.ContainsAny(synopsis, "[ "):
		return strings.Split(synopsis, "|")
	default:
		return nil
	}
}
