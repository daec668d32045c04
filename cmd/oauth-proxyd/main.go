// Command oauth-proxyd adds the configured headers to requests that come in from
// the tailnet and streams them to the Anthropic API and its answers back. Run
// "oauth-proxyd help" for its commands; oauth-proxyd(8) describes them.
//
// Each command has the file of its name. The others are what several need:
//
//	flags.go    options, and what outranks the configuration
//	output.go   errors with their hints, and JSON
//	words.go    times and sizes
//
// Two commands have more than one file: demoshow.go is what demo shows, and
// completionscript.go what completion writes.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// version is set by the linker (-X main.version=…).
var version = "devel"

// Exit codes of the commands beside serve, which has its own in package lifecycle
// (sysexits(3)).
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 64
	exitUnavailable = 69
	exitNoPerm      = 77
	exitConfig      = 78
)

// command is one word behind the program's name.
type command struct {
	name     string
	synopsis string // its arguments
	summary  string
	run      func(e env, args []string) int
}

// env is what a command touches of the world.
type env struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	// describe, if not nil, is told a command's options in place of its run.
	describe func(*flag.FlagSet)
}

func main() {
	os.Exit(run(env{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}, os.Args[1:]))
}

// run finds the command; none means serve.
func run(e env, args []string) int {
	if len(args) > 0 && isHelp(args[0]) {
		return help(e, args[1:])
	}
	if len(args) > 0 && isVersion(args[0]) {
		return printVersion(e, args[1:])
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return serve(e, args)
	}
	name := args[0]
	for _, c := range commands() {
		if c.name == name {
			return c.run(e, args[1:])
		}
	}
	e.failed(fmt.Errorf("there is no command %q", name), `"oauth-proxyd help" lists them`)
	return exitUsage
}

func commands() []command {
	return []command{
		{"serve", serveSynopsis, "run the daemon (the default)", serve},
		{"check", "[--config FILE] [--json]", "validate the configuration; show all that is wrong with it", check},
		{"reload", "[--dry-run] [--json]", "have the running daemon reload its configuration, or show what would change", reload},
		{"status", "[--json]", "ask the running daemon whether it is well", status},
		{"doctor", doctorSynopsis, "walk the way of a request step by step; say what mends what is broken", runDoctor},
		{"selftest", "[--config FILE] [--json]", "try the configuration's rules and the real proxy on loopback; show what changes", runSelftest},
		{"upgrade", "[--json]", "hand over to the installed program without cutting a stream", upgrade},
		{"requests", "[--json]", "show the requests in flight", requests},
		{"explain", "ID [--json]", "show what became of a request: where its time went, and why it ended", explain},
		{"demo", "[--listen ADDR]", "the whole thing on loopback: a fake upstream, the daemon, one streamed message", demo},
		{"version", "[--json]", "show the version", printVersion},
		{"completion", "bash|zsh|fish", "write a completion script for a shell", completion},
		{"help", "[COMMAND]", "show this list, or the options of a command", help},
	}
}

func isHelp(arg string) bool {
	return arg == "help" || arg == "-h" || arg == "-help" || arg == "--help"
}

// isVersion knows the spellings that people try first.
func isVersion(arg string) bool { return arg == "-version" || arg == "--version" }
